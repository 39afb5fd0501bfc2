-- A member of a team and an API key have limits of their own: on credits, and on sessions at once. A session counts for both.
begin;
select plan(19);
select tests.create_user('owner'), tests.create_user('author'), tests.create_user('other'), tests.create_team('team'), tests.offer_analysis();
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'author', 'admin'), tests.join_team('team', 'other');
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'purchase', workspace_id => tests.id('team'));
select tests.put_on_plan('team', 'enterprise');
select tests.sign_in('author');
select tests.remember('key', to_jsonb(public.create_api_key('key', tests.id('team'))) ->> 'key');
select tests.be_postgres();
create function pg_temp.limit_to(spender text, what text, most numeric) returns void language plpgsql as $$
begin
  execute format('insert into public.spending_limits (workspace_id, spender_id, spender_kind, %1$I)
    values (tests.id(''team''), coalesce((select id from public.api_keys where name = %2$L), tests.id(%2$L)), case %2$L when ''key'' then ''api_key'' else ''member'' end, %3$L)
    on conflict (workspace_id, spender_id) do update set %1$I = excluded.%1$I', what, spender, most);
end;
$$;
create function pg_temp.used(spender text) returns numeric language sql as $$
  select trim_scale(credits_used) from public.spending_limits where workspace_id = tests.id('team') and spender_id = case spender when 'key' then (select id from public.api_keys) else tests.id(spender) end
$$;
-- Starts a session, by the key where it says so: its id is kept under its name. Whether it did, or the code.
create function pg_temp.starts(name text, person text, by_key boolean default false) returns text language plpgsql as $$
declare
  answer jsonb := tests.start_session(case when not by_key then person end, name, workspace => 'team', api_key => case when by_key then tests.recall('key') end);
begin
  perform tests.remember(name, answer #>> '{session,id}');
  return coalesce(answer ->> 'code', answer ->> 'started');
end;
$$;
create function pg_temp.completes(name text) returns numeric language sql as $$
  select (public.complete_session(tests.recall(name)::uuid, s.user_id, at => clock_timestamp() + interval '119 seconds') #>> '{usage,credits_consumed}')::numeric from public.sessions s where s.client_id = name
$$;

-- Sessions at once: paused ones as well, of a member with their keys' and without others'.
select pg_temp.limit_to('author', 'sessions_at_once', 2), pg_temp.limit_to('key', 'sessions_at_once', 1);
select is(pg_temp.starts('a', 'author', true), 'true', 'a key starts one');
select public.pause_session(tests.recall('a')::uuid, tests.id('author'));
select is(pg_temp.starts('b', 'author', true), 'limit_reached', 'and no second while it is there, paused or not');
select is(pg_temp.starts('b', 'author'), 'true', 'its person starts another');
select is(pg_temp.starts('c', 'author'), 'limit_reached', 'and no third: the key''s is theirs');
select is(pg_temp.starts('d', 'other'), 'true', 'somebody else does');
select pg_temp.limit_to('other', 'sessions_at_once', 0);
select is(pg_temp.starts('e', 'other'), 'limit_reached', 'unless they may none');
select public.cancel_session(tests.recall('a')::uuid, tests.id('author'));
select is(pg_temp.starts('c', 'author', true), 'true', 'one that ended is not counted');

-- Credits.
select is(pg_temp.completes('c'), 1::numeric, 'two minutes, by the key');
select is(pg_temp.used('key') || ' ' || pg_temp.used('author') || ' ' || pg_temp.used('other'), '1.5 1.5 0', 'count for the key and its person, with the minute of the one that was canceled');
select is(pg_temp.completes('b'), 1::numeric, 'and two without it');
select is(pg_temp.used('key') || ' ' || pg_temp.used('author'), '1.5 2.5', 'for the person alone');
select is(public.correct_session(tests.recall('c')::uuid, '{"duration_seconds": 240}', 'it was longer', 'k') -> 'credits_changed', '1', 'a further debit');
select is(pg_temp.used('key') || ' ' || pg_temp.used('author'), '2.5 3.5', 'counts as the first did');
select pg_temp.limit_to('key', 'credit_limit', 2.5);
select is(pg_temp.starts('f', 'author', true), 'limit_reached', 'a key whose credits are used up starts none');
select is(pg_temp.starts('f', 'author'), 'true', 'its person does');
select pg_temp.limit_to('author', 'credit_limit', 3.5);
select is(pg_temp.starts('g', 'author'), 'limit_reached', 'until theirs are used up');
select public.pause_session(tests.recall('d')::uuid, tests.id('other'));
select tests.limit_plans('sessions_at_once', 2);
select is(pg_temp.starts('h', 'owner'), 'limit_reached', 'the plan counts paused ones as well');
select is((select sum(-amount) from public.credit_transactions where workspace_id = tests.id('team') and reason = 'session_fee'), 3.5::numeric, 'all of it is paid by the team');
select is_empty('select * from public.verify_credits()', 'the ledger is right');
select * from finish();
rollback;
