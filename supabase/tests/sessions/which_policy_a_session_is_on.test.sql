-- A session is on soft where there were ever paid credits, unless its workspace has a policy; who asks for hard has it, and nobody gets soft by asking.
begin;
select plan(9);
select tests.create_user('payer'), tests.create_user('guest');
select public.credit_user_credits_transaction(tests.id('payer'), 10, 'purchase'), public.credit_user_credits_transaction(tests.id('guest'), 10, 'gift');
select tests.put_on_plan('payer', 'enterprise'), tests.put_on_plan('guest', 'enterprise');
select is(tests.start_session('guest', policy => asked) #>> '{session,policy}', 'hard', format('who never paid and asks for %s is on hard', coalesce(asked, 'nothing'))) from (values (null::text), ('soft'), ('hard')) x (asked);
select is(tests.start_session('payer', policy => asked) #>> '{session,policy}', said, format('who paid and asks for %s is on %s', coalesce(asked, 'nothing'), said))
from (values (null::text, 'soft'), ('soft', 'soft'), ('hard', 'hard')) x (asked, said);
update public.workspaces set session_policy = case id when tests.id('payer') then 'hard' else 'soft' end::public.session_policy where id in (tests.id('payer'), tests.id('guest'));
select is(tests.start_session('guest') #>> '{session,policy}', 'soft', 'a workspace''s own policy goes before that');
select is(tests.start_session('payer', policy => 'soft') #>> '{session,policy}', 'hard', 'also where it is the stricter one');
select is(tests.start_session('guest', policy => 'hard') #>> '{session,policy}', 'hard', 'and makes nobody take a debt');
select * from finish();
rollback;
