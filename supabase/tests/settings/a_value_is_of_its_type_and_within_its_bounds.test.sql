begin;
select plan(23);
insert into public.system_config (config_key, config_value, value_type, minimum, maximum, description) values
  ('some_flag', 'true', 'boolean', null, null, ''), ('some_count', '5', 'integer', 1, 10, ''),
  ('some_number', '1.5', 'number', 0, 2, ''), ('some_text', '"x"', 'text', null, null, ''),
    ('unbounded', '1', 'number', null, null, '');

create function pg_temp.set_to(key text, value jsonb) returns text
language sql as $$ select format('update public.system_config set config_value = %L where config_key = %L', value,
  key) $$;

select lives_ok(pg_temp.set_to('some_flag', 'false'), 'a flag is true or false');
select throws_ok(pg_temp.set_to('some_flag', '"true"'), '23514', null, 'no text');
select throws_ok(pg_temp.set_to('some_flag', '1'), '23514', null, 'no number');
select throws_ok(pg_temp.set_to('some_flag', 'null'), '23514', null, 'no null');

select lives_ok(pg_temp.set_to('some_count', '10'), 'a count reaches its maximum');
select lives_ok(pg_temp.set_to('some_count', '1.0'), 'a whole number in any spelling');
select throws_ok(pg_temp.set_to('some_count', '11'), '23514', null, 'not above it');
select throws_ok(pg_temp.set_to('some_count', '0'), '23514', null, 'nor below its minimum');
select throws_ok(pg_temp.set_to('some_count', '1.5'), '23514', null, 'no fraction');
select throws_ok(pg_temp.set_to('some_count', '"5"'), '23514', null, 'no text');
select throws_ok(pg_temp.set_to('some_count', '[5]'), '23514', null, 'no list');

select lives_ok(pg_temp.set_to('some_number', '0.000001'), 'a number has decimals');
select throws_ok(pg_temp.set_to('some_number', '2.000001'), '23514', null, 'and bounds');
select throws_ok(pg_temp.set_to('some_number', '"NaN"'), '23514', null, 'and is one');
select lives_ok(pg_temp.set_to('unbounded', '-1e30'), 'without bounds it may be any');

select lives_ok(pg_temp.set_to('some_text', '""'), 'a text may be empty');
select throws_ok(pg_temp.set_to('some_text', '{}'), '23514', null, 'but no object');
select throws_ok(pg_temp.set_to('some_text', null), '23502', null, 'and not missing');

select throws_ok(pg_temp.set_to('signup_credits', '-1'), '23514', null, 'signup_credits is not negative');
select throws_ok(pg_temp.set_to('max_credits_balance', '"1"'), '23514', null, 'max_credits_balance is a number');
select throws_ok(pg_temp.set_to('credits_per_usd', '0'), '23514', null, 'credits_per_usd is above zero');
select throws_ok(pg_temp.set_to('maintenance_mode', '"on"'), '23514', null, 'maintenance_mode is true or false');
select throws_ok($$ insert into public.system_config (config_key, config_value, value_type, description)
  values ('Not A Key', '1', 'number', '') $$,
  '23514', null, 'a key is snake_case');

select * from finish();
rollback;
