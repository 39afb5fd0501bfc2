begin;
select plan(6);
select tests.create_user('ann');
insert into public.conversations (id, workspace_id, user_id) values (tests.id('c'), tests.id('ann'), tests.id('ann'));
-- More than are ranked at once, with the same rank by the dozen.
insert into public.messages (conversation_id, content, created_at)
select tests.id('c'), repeat('walnut ', 1 + n % 4) || repeat('and other words ', n % 7), timestamptz '2026-01-01' + make_interval(secs => n / 3)
from generate_series(1, 1100) n;
update public.messages set deleted_at = now(), status = 'deleted' where sequence_number % 50 = 0;

-- All pages of a size, one after the other, with what happens between two of them.
create function pg_temp.pages(page_size integer, meanwhile text default '') returns uuid[] language plpgsql as $$
declare
  found uuid[] := '{}';
  page public.message_hit[];
begin
  loop
    page := array(select h from public.search_messages('walnut', max_rows => page_size, after => page[cardinality(page)].cursor) h);
    found := found || array(select message_id from unnest(page));
    exit when cardinality(page) < page_size;
    if meanwhile <> '' then
      perform tests.be_postgres();
      execute meanwhile;
      perform tests.sign_in('ann');
    end if;
  end loop;
  return found;
end;
$$;
grant execute on function pg_temp.pages to public;
select tests.remember('all', array_agg(id)) from public.messages where deleted_at is null;
select tests.sign_in('ann');
select is(cardinality(pg_temp.pages(100)), cardinality(tests.recall('all')::uuid[]), 'pages together have each hit, once');
select bag_eq($$ select unnest(pg_temp.pages(100)) $$, $$ select unnest(tests.recall('all')::uuid[]) $$, 'and those alone');
select is(pg_temp.pages(37), pg_temp.pages(100), 'in one order, whatever their size');
select is((select bool_and(rank <= before) from (select rank, lag(rank, 1, rank) over (order by n) as before
  from public.search_messages('walnut', max_rows => 100) with ordinality h (a, b, c, d, e, rank, f, g, n)) r), true, 'the best come first');
select tests.remember('whole', pg_temp.pages(100));
select is(pg_temp.pages(60, $$ insert into public.messages (conversation_id, content) values (tests.id('c'), 'walnut walnut walnut') $$),
  tests.recall('whole')::uuid[], 'what is written meanwhile moves nothing');
select is(cardinality(array(select distinct i from unnest(p) i)), cardinality(p), 'nothing comes twice where some go meanwhile')
from pg_temp.pages(60, $$ delete from public.messages where id in (select id from public.messages order by md5(id::text) limit 5) $$) p;
select * from finish();
rollback;
