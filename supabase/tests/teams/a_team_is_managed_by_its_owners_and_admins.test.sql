begin;
select plan(27);
select tests.create_user('ann'), tests.create_user('adm'), tests.create_user('mem'), tests.create_user('stranger');
select tests.create_team('team'), tests.join_team('team', 'ann', 'owner'), tests.join_team('team', 'adm', 'admin'), tests.join_team('team', 'mem');
select tests.sell('prod_basic', 100, 'basic');
create function pg_temp.may(person text, what text) returns text language plpgsql as $$
declare
  rows integer;
begin
  perform tests.sign_in(person);
  execute what;
  get diagnostics rows = row_count;
  perform tests.be_postgres();
  return rows;
exception when others then
  return sqlerrm;
end $$;
grant execute on function pg_temp.may to public;

select is(pg_temp.may('ann', $$ update public.workspaces set name = 'a', slug = 'a-team' where id = tests.id('team') $$), '1', 'an owner renames it');
select is(pg_temp.may('adm', $$ update public.workspaces set ai_log_content = 'full' where id = tests.id('team') $$), '1', 'an admin sets what it keeps');
select is(pg_temp.may('mem', $$ update public.workspaces set name = 'b' where id = tests.id('team') $$), '0', 'a member does not');
select is(pg_temp.may('stranger', $$ select from public.workspaces where id = tests.id('team') $$), '0', 'a stranger sees none of it');
select is(pg_temp.may('mem', $$ select from public.workspace_members where workspace_id = tests.id('team') $$), '3', 'a member sees the members');
select is(pg_temp.may('stranger', $$ select from public.workspace_members where workspace_id = tests.id('team') $$), '0', 'a stranger does not');
select is(pg_temp.may('mem', $$ select from public.workspace_member_credits where workspace_id = tests.id('team') $$), '1', 'and of their limits and use their own');
select is(pg_temp.may('adm', $$ select from public.workspace_member_credits where workspace_id = tests.id('team') $$), '3', 'an admin sees everyone''s');
select is(pg_temp.may('stranger', $$ select from public.workspace_member_credits $$), '0', 'a stranger nobody''s');
update public.users set full_name = 'Ann A.', avatar_url = 'https://example.test/ann' where id = tests.id('ann');
select tests.sign_in('adm');
select results_eq($$ select user_id, role::text, full_name, avatar_url, email from public.list_members(tests.id('team')) $$,
  $$ values (tests.id('ann'), 'owner', 'Ann A.', 'https://example.test/ann', 'ann@example.test'), (tests.id('adm'), 'admin', null, null, 'adm@example.test'),
    (tests.id('mem'), 'member', null, null, 'mem@example.test') $$, 'an admin sees who they are, owners first');
select tests.sign_in('mem');
select results_eq($$ select user_id, full_name, email from public.list_members(tests.id('team')) $$,
  $$ values (tests.id('ann'), 'Ann A.', null::text), (tests.id('adm'), null, null), (tests.id('mem'), null, null) $$, 'a member too, but no addresses');
select is((select count(*) from public.list_members(tests.id('mem'))), 1::bigint, 'at home everyone is alone');
select tests.be_postgres();
select is(pg_temp.may('stranger', $$ select public.list_members(tests.id('team')) $$), 'not_found', 'a stranger hears of nobody');
select is(pg_temp.may('ann', $$ update public.workspace_member_credits set credit_limit = 1000000 $$), 'permission denied for view workspace_member_credits',
  'nobody writes limits past the function');
select is(pg_temp.may('ann', $$ update public.workspace_members set role = 'owner' $$), 'permission denied for table workspace_members',
  'nobody writes roles past the functions');
select is(pg_temp.may('adm', $$ select public.create_api_key('k', tests.id('team')) $$), '1', 'an admin makes a key');
select is(pg_temp.may('mem', $$ select public.create_api_key('k', tests.id('team')) $$), 'not_found', 'a member makes none');
select is(pg_temp.may('mem', $$ select from public.api_keys $$), '0', 'nor sees any');
select is(pg_temp.may('ann', $$ select from public.api_keys $$), '1', 'an owner sees them');
select is(pg_temp.may('ann', $$ update public.workspaces set slug = 'No Slug' where id = tests.id('team') $$),
  'new row for relation "workspaces" violates check constraint "slug_is_a_name_for_urls"', 'a slug is fit for URLs');
select is(pg_temp.may('ann', $$ select public.create_workspace('x', 'a-team') $$), 'invalid_state', 'and one workspace''s alone');

select tests.be_service();
select lives_ok($$ select public.begin_checkout(tests.id('adm'), (select id from public.payment_products), workspace_id => tests.id('team')) $$,
  'an admin buys for the team');
select throws_ok($$ select public.begin_checkout(tests.id('mem'), (select id from public.payment_products), workspace_id => tests.id('team')) $$,
  'PT403', 'forbidden', 'a member does not');
select tests.deliver('evt_1', tests.paid_period('prod_basic', '2026-01-01') || jsonb_build_object('owner',
  jsonb_build_object('workspace_id', tests.id('team'), 'user_id', tests.id('adm'))));
select is(tests.wallet('team'), 'balance 100, total 100, spent 0, expired 0, held 0', 'what is paid for a team is the team''s');
select tests.be_postgres();
select is(pg_temp.may('adm', $$ select from public.payments $$), '1', 'its admins see the payment');
select is(pg_temp.may('mem', $$ select from public.payments $$), '0', 'its members do not');

update public.system_config set config_value = '1' where config_key = 'free_teams_per_user';
select tests.sign_in('stranger');
select public.create_workspace('first');
select throws_ok($$ select public.create_workspace('second') $$, 'PT429', 'limit_reached', 'free teams are limited in number');

select * from finish();
rollback;
