begin;
select plan(27);
select tests.create_user('ann'), tests.create_user('ben'), tests.create_user('admin');
update public.users set role = 'admin' where id = tests.id('admin');
select tests.create_team('team'), tests.join_team('team', 'ann');
insert into private.ai_usage_logs (workspace_id, user_id, created_at, status, scene, model, prompt_tokens, credits_charged, free_credits, api_key_id, cost_usd, charged_usd) values
  (tests.id('ann'), tests.id('ann'), '2026-05-01', 'success', 'text_chat', 'a', 10, 1, 1, null, 0.005, 0.01),
  (tests.id('ann'), tests.id('ann'), '2026-05-02', 'success', 'embedding', 'b', 20, 2, 0.5, tests.id('key'), 0.01, 0.02),
  (tests.id('team'), tests.id('ann'), '2026-05-02', 'success', 'text_chat', 'a', 5, 4, 0, null, 0.02, 0.04),
  (tests.id('ben'), tests.id('ben'), '2026-05-01', 'success', 'text_chat', 'a', 40, 8, 2, null, 0.04, 0.08);
create function pg_temp.report(by public.usage_dimension, day date default '2026-05-31', workspace uuid default null, all_of_them boolean default false) returns text
language sql as $$
  select string_agg(concat_ws(' ', name, requests, tokens, trim_scale(credits), trim_scale(free_credits), trim_scale(paid_credits)), ', ' order by name) from public.usage_report(by, '2026-05-01', day, workspace, all_of_them)
$$;
grant execute on function pg_temp.report to authenticated, anon;
create function pg_temp.costs(by public.usage_dimension, then_by public.usage_dimension default null, workspace uuid default null, all_of_them boolean default true) returns text
language sql as $$
  select string_agg(concat_ws(' ', name, then_name, requests, trim_scale(provider_cost), trim_scale(margin)), ', ' order by name, then_name)
  from public.usage_report(by, '2026-05-01', '2026-05-31', workspace, all_of_them, then_by => costs.then_by)
$$;
grant execute on function pg_temp.costs to authenticated, service_role;

select tests.sign_in('ann');
select is((select count(*) from public.ai_usage_statistics), 3::bigint, 'people see their own figures, in a team too');
select is(pg_temp.report('day'), '2026-05-01 1 10 1 1 0, 2026-05-02 1 20 2 0.5 1.5', 'usage of the own workspace by day');
select is(pg_temp.report('day', '2026-05-01'), '2026-05-01 1 10 1 1 0', 'within days');
select results_eq($$ select name, then_name, requests, credits from public.usage_report('day', '2026-05-01', '2026-05-31', then_by => 'model') $$,
  $$ values ('2026-05-01', 'a', 1::bigint, 1::numeric), ('2026-05-02', 'b', 1, 2) $$, 'by two things at once');
select results_eq($$ select name, then_name from public.usage_report('scene', '2026-05-01', '2026-05-31', then_by => 'user') $$,
  $$ values ('embedding', tests.id('ann')::text), ('text_chat', tests.id('ann')::text) $$, 'in any order');
select results_eq($$ select name, then_name, credits from public.usage_report('model', '2026-05-01', '2026-05-31', then_by => 'key') $$,
  $$ values ('b', tests.id('key')::text, 2::numeric) $$, 'whatever they are; of keys the calls made with one');
select is((select count(provider_cost) + count(margin) from public.usage_report('day', '2026-05-01', '2026-05-31')), 0::bigint, 'what it cost the operator is not told');
select is(pg_temp.report('model'), 'a 1 10 1 1 0, b 1 20 2 0.5 1.5', 'by model');
select is(pg_temp.report('scene'), 'embedding 1 20 2 0.5 1.5, text_chat 1 10 1 1 0', 'by scene');
select is(pg_temp.report('user'), tests.id('ann') || ' 2 30 3 1.5 1.5', 'by person');
select is(pg_temp.report('key'), tests.id('key') || ' 1 20 2 0.5 1.5', 'by key');
select is(pg_temp.report('day', workspace => tests.id('team')), '2026-05-02 1 5 4 0 4', 'of a team what is theirs');
select is(pg_temp.report('day', workspace => tests.id('ben')), null, 'of a stranger nothing');
select throws_ok($$ select pg_temp.report('day', all_of_them => true) $$, 'PT403', 'forbidden', 'of all nothing');
select tests.be_postgres();
delete from public.workspace_members where workspace_id = tests.id('team');
select tests.sign_in('ann');
select is((select count(*) from public.ai_usage_statistics), 2::bigint, 'who has left a team sees its figures no more');
select is(pg_temp.report('day', workspace => tests.id('team')), null, 'in reports neither');
select tests.sign_in('admin');
select is_empty('select * from public.ai_usage_statistics', 'platform admins ask for all, and see theirs otherwise');
select is(pg_temp.report('model', all_of_them => true), 'a 3 55 13 3 10, b 1 20 2 0.5 1.5', 'platform admins see all');
select is(pg_temp.report('user', all_of_them => true) like '%' || tests.id('ben') || ' 1 40 8 2 6%', true, 'of everyone');
select is(pg_temp.costs('model'), 'a 3 0.065 0.065, b 1 0.01 0.01', 'with what it cost and brought');
select is(pg_temp.costs('day', 'model'), '2026-05-01 a 2 0.045 0.045, 2026-05-02 a 1 0.02 0.02, 2026-05-02 b 1 0.01 0.01', 'by day and model');
select tests.be_service();
select is(pg_temp.costs('workspace', all_of_them => false), (select string_agg(x, ', ' order by x) from (values (tests.id('ann') || ' 2 0.015 0.015'),
  (tests.id('ben') || ' 1 0.04 0.04'), (tests.id('team') || ' 1 0.02 0.02')) v (x)), 'the service role asks for all workspaces');
select is(pg_temp.costs('day', 'user', tests.id('team'), false), '2026-05-02 ' || tests.id('ann') || ' 1 0.02 0.02', 'or for one, and by person');
select tests.be_postgres();
select lives_ok($$ select public.rebuild_usage_statistics('2026-05-01', '2026-05-02') $$, 'costs are made again from the calls');
insert into private.ai_usage_logs (workspace_id, user_id, created_at, status, scene, model) values (tests.id('ann'), tests.id('ann'), now(), 'success', 'text_chat', 'now');
select tests.be_service();
select is(pg_temp.costs('model'), 'a 3 0.065 0.065, b 1 0.01 0.01', 'to the same');
select tests.sign_in('ann');
select is((select name from public.usage_report('model')), 'now', 'this month where no days are named');
select tests.be_anonymous();
select throws_ok($$ select * from public.usage_report('day', '2026-05-01', '2026-05-02') $$, '42501', null, 'who is not signed in sees nothing');

select * from finish();
rollback;
