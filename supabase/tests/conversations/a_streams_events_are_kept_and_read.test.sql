begin;
select plan(19);
select tests.create_user('ana');
insert into public.conversations (id, workspace_id, user_id) values (tests.id('talk'), tests.id('ana'), tests.id('ana'));
insert into public.messages (id, workspace_id, conversation_id, role, status)
values (tests.id('question'), tests.id('ana'), tests.id('talk'), 'user', 'sent');
insert into public.messages (id, workspace_id, conversation_id, parent_message_id, role, status)
values (tests.id('answer'), tests.id('ana'), tests.id('talk'), tests.id('question'), 'assistant', 'sending');

create function pg_temp.write(first_event integer, last_event integer) returns jsonb language sql as $$
  select public.write_message_events(tests.id('answer'), first_event, last_event,
    (select string_agg(format(e'id: %s\ndata: {"choices": [{"index": 0, "delta": {"content": "%s "}}]}\n\n', n, n), '' order by n)
      from generate_series(first_event, last_event) n))
$$;
create function pg_temp.read(after integer, message text default 'answer', at timestamptz default clock_timestamp()) returns text language sql as $$
  with r as (select public.read_message_events(tests.id('ana'), tests.id('talk'), tests.id(message), after, at => at) as answer)
  select concat_ws(', ', (select string_agg(format('%s to %s', b.batch ->> 'first_event', b.batch ->> 'last_event'), ' and ' order by b.place)
      from jsonb_array_elements(r.answer -> 'batches') with ordinality b (batch, place)),
    r.answer -> 'ending' ->> 'status', case (r.answer -> 'ending' ->> 'is_kept')::boolean when true then 'kept' when false then 'not kept' end,
    r.answer -> 'ending' -> 'error' ->> 'code')
  from r
$$;

select is(pg_temp.write(1, 3), 'false', 'a write is answered by whether to stop');
select is(pg_temp.write(4, 5), 'false', 'each batch adds its events');
select is(pg_temp.read(0), '1 to 3 and 4 to 5', 'all events are read from the beginning');
select is(pg_temp.read(2), '1 to 3 and 4 to 5', 'those after an event begin with the batch that it is in');
select is(pg_temp.read(3), '4 to 5', 'a batch that is known is left out');
select is(pg_temp.read(5), '', 'there is nothing after the last, and no ending while it is made');
select pg_temp.write(6, 7);
select pg_temp.write(6, 9);
select pg_temp.write(6, 7);
select is(pg_temp.read(5), '6 to 9', 'a write that is tried again with more replaces its first try, and a late first try changes nothing');
select is(public.write_message_events(tests.id('answer')), 'false', 'a write without events only asks');
select is(pg_temp.read(9), '', 'and leaves none');

insert into private.message_events (message_id, first_event, last_event, events) select tests.id('answer'), n, n, '' from generate_series(10, 119) n;
select is(jsonb_array_length(public.read_message_events(tests.id('ana'), tests.id('talk'), tests.id('answer')) -> 'batches'), 100,
  'a hundred batches at most are read at once');
update public.messages set status = 'sent', content = 'all' where id = tests.id('answer');
select is((public.read_message_events(tests.id('ana'), tests.id('talk'), tests.id('answer')) -> 'ending'), null,
  'and the ending comes after the last');
select is(pg_temp.read(118), '119 to 119, sent, kept', 'with it');
select is(pg_temp.write(120, 120), 'true', 'a stream whose answer has ended is to stop');
select is(pg_temp.read(119), 'sent, kept', 'and what it writes is not kept');
select is(public.write_message_events(tests.id('nobody')), 'true', 'so is one whose answer is gone');

select is(private.run_due_work(clock_timestamp() + interval '14 minutes'), 0, 'events are kept for a quarter of an hour');
update public.messages set status = 'sending' where id = tests.id('answer');
insert into private.message_events (message_id, first_event, last_event, events) values (tests.id('answer'), 1, 1, '');
select is(private.forget_next_message_events(clock_timestamp() + interval '16 minutes'), false, 'of an answer that is still made for longer');
update public.messages set status = 'sent' where id = tests.id('answer');
select is(private.forget_next_message_events(clock_timestamp() + interval '16 minutes'), true, 'then they are removed');
select is(pg_temp.read(0), 'sent, not kept', 'and who asks for them is told so');

select * from finish();
rollback;
