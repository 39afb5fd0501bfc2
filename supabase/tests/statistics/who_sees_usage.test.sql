begin;
select plan(16);
select tests.create_user('ann'), tests.create_user('ben'), tests.create_user('admin');
update public.users set role = 'admin' where id = tests.id('admin');
select tests.create_team('team'), tests.join_team('team', 'ann');
insert into public.ai_usage_logs (workspace_id, user_id, created_at, status, scene, model, prompt_tokens, credits_charged, free_credits, api_key_id) values
  (tests.id('ann'), tests.id('ann'), '2026-05-01', 'success', 'text_chat', 'a', 10, 1, 1, null),
  (tests.id('ann'), tests.id('ann'), '2026-05-02', 'success', 'embedding', 'b', 20, 2, 0.5, tests.id('key')),
  (tests.id('team'), tests.id('ann'), '2026-05-02', 'success', 'text_chat', 'a', 5, 4, 0, null),
  (tests.id('ben'), tests.id('ben'), '2026-05-01', 'success', 'text_chat', 'a', 40, 8, 2, null);
create function pg_temp.report(by public.usage_dimension, day date default '2026-05-31', workspace uuid default null, all_of_them boolean default false) returns text
language sql as $$
  select string_agg(concat_ws(' ', name, requests, tokens, trim_scale(credits), trim_scale(free_credits), trim_scale(paid_credits)), ', ' order by name) from public.usage_report(by, '2026-05-01', day, workspace, all_of_them)
$$;
grant execute on function pg_temp.report to authenticated, anon;

select tests.sign_in('ann');
select is((select count(*) from public.ai_usage_statistics), 3::bigint, 'people see their own figures, in a team too');
select is(pg_temp.report('day'), '2026-05-01 1 10 1 1 0, 2026-05-02 1 20 2 0.5 1.5', 'usage of the own workspace by day');
select is(pg_temp.report('day', '2026-05-01'), '2026-05-01 1 10 1 1 0', 'within days');
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
select tests.be_anonymous();
select throws_ok($$ select * from public.usage_report('day', '2026-05-01', '2026-05-02') $$, '42501', null, 'who is not signed in sees nothing');

select * from finish();
rollback;
