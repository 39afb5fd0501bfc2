begin;
select plan(17);
select tests.create_user('owner'), tests.create_user('root');
update public.users set role = 'admin' where id = tests.id('root');
create function pg_temp.last_change() returns public.audit_logs language sql as $$
  select a from public.audit_logs a where a.workspace_id = tests.id('owner') order by a.id desc limit 1
$$;
grant execute on function pg_temp.last_change() to authenticated;

-- The size of a row.
select set_config('request.headers', jsonb_build_object('user-agent', repeat('u', 5000), 'x-request-id', repeat('r', 5000))::text, true);
select tests.sign_in('owner');
select tests.remember('key', to_jsonb(public.create_api_key('server', allowed_models => array(select repeat('m', 190) from generate_series(1, 100)))) ->> 'id');
select is((pg_temp.last_change()).new_values ->> 'name', 'server', 'short values are logged whole');
select matches((pg_temp.last_change()).new_values ->> 'allowed_models', '^.{2}m{190}.{8}… .cut.$', 'of long ones the beginning');
update public.api_keys set name = repeat('ü', 200), allowed_models = array(select repeat('😀', 100) from generate_series(1, 100));
select ok(octet_length((pg_temp.last_change())::text) < 5000, 'a row is small whatever was written');
select is((pg_temp.last_change()).new_values ->> 'name', repeat('ü', 200), 'and has all that fits');
select tests.be_postgres();
select is(private.cut_values((select jsonb_object_agg('column_' || n, repeat('x', 900)) from generate_series(1, 3) n)),
  '{"cut": "column_1 column_2 column_3"}', 'of too many values the names are left');
select is(private.cut_values('{}'), '{}', 'of none nothing is cut');
select is(private.cut_values(null), null, 'nor of nothing');
select private.audit('test', 'api_keys', null, tests.id('owner'), details => jsonb_build_object('reason', repeat('x', 5000)));
select ok(octet_length((pg_temp.last_change()).details::text) < 1000, 'what functions tell is cut as well');

-- How many a day.
update public.system_config set config_value = '10' where config_key = 'changes_per_day';
select tests.sign_in('owner');
update public.api_keys set name = n::text from generate_series(1, 1) n;
select tests.remember('second', to_jsonb(public.create_api_key('second')) ->> 'id');
update public.workspaces set name = 'Mine ' || n from generate_series(1, 1) n where id = tests.id('owner');
insert into public.credit_alerts (workspace_id, kind, threshold) select tests.id('owner'), 'low_balance', n from generate_series(1, 5) n;
select throws_like($$ update public.credit_alerts set is_active = false $$, '%limit_reached%', 'the eleventh change of a day is refused');
select throws_like($$ update public.workspaces set name = 'Yours' where id = tests.id('owner') $$, '%limit_reached%', 'of whatever');
select is((select count(*)::integer from public.credit_alerts where is_active), 5, 'as a whole');
select throws_like($$ select public.create_api_key('third') $$, '%limit_reached%', 'nothing is made either');
select lives_ok(format($$ select public.revoke_api_key('%s') $$, tests.recall('second')), 'but a key is revoked');
select lives_ok($$ delete from public.credit_alerts $$, 'and an alert removed');
select tests.be_postgres();
-- Rows are append-only, so the day passes for the setting.
update public.system_config set config_value = '17' where config_key = 'changes_per_day';
select tests.sign_in('owner');
select lives_ok($$ update public.workspaces set name = 'Yours' where id = tests.id('owner') $$, 'as soon as there is room it goes on');
select throws_like($$ update public.workspaces set name = 'Ours' where id = tests.id('owner') $$, '%limit_reached%', 'to the next limit');
select tests.sign_in('root');
select lives_ok($$ update public.system_config set config_value = to_jsonb(n) from generate_series(1, 1) n
  where config_key = 'signup_credits' $$, 'who runs the platform is not counted');

select * from finish();
rollback;
