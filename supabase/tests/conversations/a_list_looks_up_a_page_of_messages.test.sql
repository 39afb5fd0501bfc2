-- A list of 50 out of 10,000 conversations looks up the last messages of those 50, not of all.
begin;
select plan(4);
select tests.create_user('author');
insert into public.conversations (workspace_id, user_id, title, last_message_at) select tests.id('author'), tests.id('author'), n::text, now() - n * interval '1 minute'
from generate_series(1, 10000) n;
insert into public.messages (conversation_id, content) select c.id, 'hello' from public.conversations c where c.user_id = tests.id('author') and c.title::integer <= 2000;
analyze public.conversations, public.messages;

create function pg_temp.plan_of(query text) returns jsonb language plpgsql as $$
declare
  plan json;
begin
  perform tests.sign_in('author');
  execute 'explain (analyze, timing off, format json) ' || query into plan;
  perform tests.be_postgres();
  return plan -> 0 -> 'Plan';
end;
$$;
-- The nodes of a plan that read a table.
create function pg_temp.reads(plan jsonb, of_table text) returns table (node text, loops bigint, rows_read numeric) language sql as $$
  with recursive nodes as (
    select plan as node
    union all
    select n.value from nodes p, jsonb_array_elements(p.node -> 'Plans') n
  )
  select node ->> 'Node Type', (node ->> 'Actual Loops')::bigint, ((node ->> 'Actual Rows')::numeric + coalesce((node ->> 'Rows Removed by Filter')::numeric, 0)) * (node ->> 'Actual Loops')::bigint
  from nodes where node ->> 'Relation Name' = of_table
$$;
create temporary table page as select pg_temp.plan_of('select * from public.conversation_summary order by last_message_at desc nulls last limit 50') as plan;
select is((select plan ->> 'Actual Rows' from page)::numeric, 50::numeric, 'a page is read');
select cmp_ok((select sum(r.rows_read) from page, pg_temp.reads(plan, 'messages') r), '<=', 100::numeric, 'with the last message of each of its conversations, for content and role');
select tests.sign_in('author');
select is((select count(*) from public.conversation_summary), 10000::bigint, 'of all that there are');
select is((select count(*) from public.conversation_summary where last_message_content = 'hello'), 2000::bigint, 'each with its own');
select tests.be_postgres();

select * from finish();
rollback;
