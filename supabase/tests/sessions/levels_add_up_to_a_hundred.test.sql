begin;
select plan(14);
select tests.create_user('author'), tests.create_user('owner'), tests.create_user('other'), tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'author'), tests.join_team('team', 'other');

-- Whatever the counts, the percentages add up to 100, none is negative, and each is off by less than a hundredth.
select is_empty($$
  select d.* from generate_series(0, 17) r, generate_series(0, 17) y, generate_series(0, 17) g, private.safety_distribution_of(r, y, g) d
  where (d.red_percentage + d.yellow_percentage + d.green_percentage = case when r + y + g = 0 then 0 else 100 end
    and d.total_count = r + y + g and least(d.red_percentage, d.yellow_percentage, d.green_percentage) >= 0
    and (r + y + g = 0 or greatest(abs(d.red_percentage - 100.0 * r / (r + y + g)), abs(d.yellow_percentage - 100.0 * y / (r + y + g)),
      abs(d.green_percentage - 100.0 * g / (r + y + g))) <= 0.01)) is not true
$$, 'percentages of any counts');
select is_empty($$
  select d.* from generate_series(0, 17) r, generate_series(0, 17) y, generate_series(0, 17) g, private.safety_distribution_of(r, y, g) d
  where r * d.red_percentage = 0 and (r = 0) <> (d.red_percentage = 0) or (y = 0) <> (d.yellow_percentage = 0) or (g = 0) <> (d.green_percentage = 0)
$$, 'and what was never found has 0');
select is(to_jsonb(private.safety_distribution_of(1, 1, 1)), '{"red_count": 1, "yellow_count": 1, "green_count": 1, "total_count": 3, "red_percentage": 33.33, "yellow_percentage": 33.34, "green_percentage": 33.33}',
  'thirds');
select is(to_jsonb(private.safety_distribution_of(3000000000, 1, 0)) ->> 'red_percentage', '100.00', 'large ones');

select tests.write_session('first', 'author', 'team', true, levels => 'rryg', started_at => '2026-03-01 23:59:59+00'), tests.write_session('second', 'author', 'team', true, levels => 'g', started_at => '2026-03-02 00:00+00'),
  tests.write_session('silent', 'other', 'team', true, levels => '', started_at => '2026-03-02 10:00+00'), tests.write_session('elsewhere', 'author', levels => 'rrrr'),
  tests.write_session('mine', 'owner', 'team', levels => 'yyy');
select tests.sign_in('author');
select is((public.session_safety_distribution(tests.id('first'))).red_percentage, 50.00, 'a session''s');
select is(to_jsonb(public.session_safety_distribution(tests.id('elsewhere'))) ->> 'yellow_percentage', '0.00', 'of one level');
select is((select array_agg(array[m.total_count, m.session_count]) from public.session_safety_by_member(tests.id('team')) m), '{{5,2}}', 'a member''s by member are their own');
select tests.sign_in('owner');
-- By member and days, both included.
create function pg_temp.by_member("from" date default null, "to" date default null) returns text language sql as $$
  select string_agg(format('%s %s: %s %s %s of %s', case m.user_id when tests.id('author') then 'author' when tests.id('owner') then 'owner' else 'other' end, m.session_count,
    m.red_count, m.yellow_count, m.green_count, m.total_count), ', ' order by m.total_count desc, m.session_count)
  from public.session_safety_by_member(tests.id('team'), "from", "to") m
$$;
select is(pg_temp.by_member(), 'author 2: 2 1 2 of 5, owner 1: 0 3 0 of 3, other 1: 0 0 0 of 0', 'an owner''s are everyone''s');
select is(pg_temp.by_member('2026-03-02', '2026-03-02'), 'author 1: 0 0 1 of 1, other 1: 0 0 0 of 0', 'of a day');
select is(pg_temp.by_member('2026-03-01', '2026-03-01'), 'author 1: 2 1 1 of 4, owner 1: 0 3 0 of 3', 'and of the day before');
select is(pg_temp.by_member('2026-03-03'), null, 'of days without any');
select is(pg_temp.by_member('infinity', '-infinity'), null, 'of days that make no sense');
select throws_ok($$ select public.session_safety_by_member(tests.id('author')) $$, 'PT404', 'not_found', 'and none of a workspace that is not theirs');
select tests.be_postgres();
delete from auth.users where id in (tests.id('author'), tests.id('other'));
select tests.sign_in('owner');
select is((select string_agg(format('%s %s %s', m.user_id is null, m.session_count, m.total_count), ', ' order by m.total_count) from public.session_safety_by_member(tests.id('team')) m), 'f 1 3, t 3 5',
  'what is left of people who are gone counts together');
select tests.be_postgres();

select * from finish();
rollback;
