begin;
select plan(21);
select tests.create_user('author'), tests.create_user('owner'), tests.create_user('admin'), tests.create_user('stranger'), tests.create_team('team'), tests.create_team('other team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'admin', 'admin'), tests.join_team('team', 'author'), tests.join_team('other team', 'author', 'owner');
select tests.write_session('1', 'author', 'team', levels => 'r', started_at => '2026-03-01 00:00+00'), tests.write_session('2', 'author', 'team', true, levels => 'rr', started_at => '2026-03-31 23:59:59.9+00'),
  tests.write_session('3', 'admin', 'team', true, levels => 'rrrr', started_at => '2026-04-01 00:00+00'), tests.write_session('4', 'author', levels => 'rrrrrrrr', started_at => '2026-03-10'),
  tests.write_session('5', 'author', 'other team', levels => repeat('r', 16), started_at => '2026-03-10');
create function pg_temp.sums(asked_user text, asked_team text, first_day date default null, last_day date default null) returns text language plpgsql as $$
begin
  return (select format('%s: %s', s.total_sessions, s.total_analysis_count) from public.session_usage_stats(first_day, last_day, tests.id(asked_user), tests.id(asked_team)) s);
exception when others then
  return sqlerrm;
end;
$$;
grant execute on function pg_temp.sums to authenticated, service_role;

-- The sum of analyses says which sessions were counted: each has twice as many as the one before.
select tests.sign_in('author');
select is(pg_temp.sums(of_user, of_team), said, format('a member asks for %s in %s: %s', of_user, of_team, said))
from (values (null, null, '4: 27'), (null, 'team', '2: 3'), ('author', null, '4: 27'), ('author', 'author', '1: 8'), ('admin', 'team', '0: 0'), ('admin', null, '0: 0'), (null, 'other team', '1: 16')) x (of_user, of_team, said);
select is(pg_temp.sums(null, 'team', '2026-03-31', '2026-03-31'), '1: 2', 'days are whole');
select is(pg_temp.sums(null, 'team', '2026-03-02'), '1: 2', 'from a day on');
select is(pg_temp.sums(null, 'team', null, '2026-03-01'), '1: 1', 'to a day');
select is(pg_temp.sums(null, 'team', 'infinity', '5874897-12-31'), '0: 0', 'of days far off');
select tests.sign_in('owner');
select is(pg_temp.sums(of_user, of_team), said, format('an owner asks for %s in %s: %s', of_user, of_team, said))
from (values (null, null, '0: 0'), (null, 'team', '3: 7'), ('author', 'team', '2: 3'), ('author', null, '2: 3'), ('author', 'author', 'not_found'), (null, 'other team', 'not_found')) x (of_user, of_team, said);
select tests.sign_in('stranger');
select is(pg_temp.sums('author', null), '0: 0', 'a stranger counts nothing of others');
select tests.be_service();
select is(pg_temp.sums('author', null), '4: 27', 'the service role counts what is asked for');
select is(pg_temp.sums(null, 'team'), '3: 7', 'of a workspace too');
select is(to_jsonb(public.session_usage_stats('2026-03-01', '2026-04-30', workspace_id => tests.id('team'))),
  '{"total_sessions": 3, "total_duration_seconds": 420.000, "total_analysis_count": 7, "total_tokens": 105, "total_cost_usd": 0.07, "total_credits_consumed": 7}', 'all sums');
select tests.be_postgres();

select * from finish();
rollback;
