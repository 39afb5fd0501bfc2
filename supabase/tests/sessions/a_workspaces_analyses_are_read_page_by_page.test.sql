begin;
select plan(20);
select tests.create_user('author'), tests.create_user('owner'), tests.create_user('member'), tests.create_user('stranger'), tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'author'), tests.join_team('team', 'member');
-- Two at the same minutes, so that their rows differ by no time.
select tests.write_session('a', 'author', 'team', levels => 'rygryg', started_at => '2026-03-01 10:00+00'), tests.write_session('b', 'member', 'team', true, levels => 'rrrrrr', started_at => '2026-03-01 10:00+00'),
  tests.write_session('own', 'author', levels => 'g');
-- Pages of so many, each after the last row of the one before; as session:number.
create function pg_temp.pages(most integer, level public.session_safety_level default null, of_user text default null, "from" timestamptz default null, "to" timestamptz default null) returns text[] language plpgsql as $$
declare
  given text[] := '{}';
  page public.session_analysis_logs[];
  last public.session_analysis_logs;
begin
  loop
    page := array(select h from public.session_analysis_history(tests.id('team'), level, tests.id(of_user), "from", "to", most, last.session_id, last.sequence_number) h);
    exit when cardinality(page) = 0 or cardinality(given) > 100;
    last := page[cardinality(page)];
    given := given || array(select format('%s%s', case p.session_id when tests.id('a') then 'a' else 'b' end, p.sequence_number) from unnest(page) with ordinality p order by p.ordinality);
  end loop;
  return given;
end;
$$;

grant execute on function pg_temp.pages to authenticated, service_role;
select tests.sign_in('owner');
select is(cardinality(pg_temp.pages(200)), 12, 'an owner reads all of the team');
select is(pg_temp.pages(most), pg_temp.pages(200), format('in pages of %s the same, in the same order', most)) from unnest('{1,2,3,5,7}'::integer[]) most;
select is((select count(distinct p) from unnest(pg_temp.pages(5)) p), 12::bigint, 'each once');
select is((select array_agg(right(p, 1)::integer) from unnest(pg_temp.pages(200)) p), '{6,6,5,5,4,4,3,3,2,2,1,1}', 'newest first');
select is(pg_temp.pages(2, 'yellow'), '{a5,a2}', 'of a level');
select is(cardinality(pg_temp.pages(3, 'red')), 8, 'of another');
select is(pg_temp.pages(2, of_user => 'author'), '{a6,a5,a4,a3,a2,a1}', 'of a person');
select is(pg_temp.pages(200, 'red', "from" => '2026-03-01 10:01+00', "to" => '2026-03-01 10:02+00'), pg_temp.pages(200, 'red', "from" => '2026-03-01 10:00:30+00', "to" => '2026-03-01 10:02+00'), 'from is in the span, to is not');
select is(cardinality(pg_temp.pages(200, 'red', "from" => '2026-03-01 10:01+00', "to" => '2026-03-01 10:02+00')), 2, 'which holds one minute''s');
select throws_ok($$ select public.session_analysis_history(tests.id('team'), max_rows => 0) $$, 'PT400', 'invalid_request', 'a page has a row');
select throws_ok($$ select public.session_analysis_history(tests.id('team'), before_session_id => tests.id('own'), before_number => 1) $$, 'PT404', 'not_found', 'a cursor is of the list');
select tests.sign_in('author');
select is(pg_temp.pages(4), '{a6,a5,a4,a3,a2,a1}', 'a member reads their own');
select is(pg_temp.pages(4, of_user => 'member'), '{}', 'and nobody else''s');
select is((select count(*) from public.session_analysis_history()), 1::bigint, 'by default in their own workspace');
select tests.sign_in('stranger');
select throws_ok($$ select public.session_analysis_history(tests.id('team')) $$, 'PT404', 'not_found', 'a stranger is told of no team');
select tests.be_service();
select is(cardinality(pg_temp.pages(5, of_user => 'member')), 6, 'the service role reads anybody''s');
select tests.be_postgres();

select * from finish();
rollback;
