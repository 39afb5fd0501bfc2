begin;
select plan(6);
insert into public.system_config (config_key, config_value, value_type, description) values
  ('some_number', '0', 'number', ''), ('some_flag', 'false', 'boolean', '');

select is(private.config_numeric('some_number', 7), 0::numeric, 'a number that is set is used, zero too');
select is(private.config('some_flag'), 'false', 'a flag that is set has its value');
update public.system_config set is_active = false where config_key in ('some_number', 'some_flag');
select is(private.config_numeric('some_number', 7), 7::numeric, 'the default of an inactive number applies');
select is(private.config('some_flag'), null, 'an inactive flag has none');
select is(private.config_numeric('no_such_setting', 7), 7::numeric, 'as for one that does not exist');
select is(private.config('no_such_setting'), null, 'which has no value');

select * from finish();
rollback;
