-- Teams are free to make: a trial each would be no trial.
begin;
select plan(8);
select tests.create_user('owner'), tests.create_user('other');
select tests.create_team(t), tests.join_team(t, 'owner', 'owner'), tests.join_team(t, 'other', 'admin') from unnest(array['first', 'second', 'third']) t;
select tests.sell('basic', 100, 'basic');
update public.payment_products set trial_days = 14;
create function pg_temp.offered(person text, workspace text) returns integer language sql as $$
  select (public.begin_checkout(tests.id(person), (select id from public.payment_products), 1, tests.id(workspace)) ->> 'trial_days')::integer $$;
create function pg_temp.begin_trial(workspace text, subscription text, more jsonb default '{}') returns text language sql as $$
  select tests.deliver('evt_' || subscription, tests.told_status('trialing', 'basic', subscription, more) || jsonb_build_object(
    'owner', jsonb_build_object('user_id', tests.id('owner'), 'workspace_id', tests.id(workspace)))) $$;

select is(pg_temp.offered('owner', 'first'), 14, 'a trial is offered');
select pg_temp.begin_trial('first', 'sub_1', '{"trial_end": "2026-01-15T00:00:00Z"}');
select tests.deliver('evt_end', tests.told_status('canceled', 'basic'), '2026-01-10', '2026-01-10');
select is(pg_temp.offered('owner', 'first'), 0, 'one a workspace');
select is(pg_temp.offered('owner', 'second'), 0, 'and one a person, who makes another');
select is(pg_temp.offered('other', 'first'), 0, 'somebody else has none where there was one');
select is(pg_temp.offered('other', 'second'), 14, 'and one where there was none');
delete from public.workspaces where id = tests.id('first');
select is(pg_temp.offered('owner', 'second'), 0, 'deleting the team brings none');
select tests.create_team('new'), tests.join_team('new', 'other', 'owner');
update public.user_subscriptions set trial_end = null, user_id = tests.id('other');
select is(pg_temp.offered('other', 'new'), 14, 'a subscription without a trial is none');
select tests.deliver('evt_t', tests.told_status('canceled', 'basic') || '{"period": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-08T00:00:00Z", "is_trial": true, "product_id": "basic"}}',
  '2026-01-02', '2026-01-10');
select is(pg_temp.offered('other', 'new'), 0, 'a period of trial is one');

select * from finish();
rollback;
