begin;
select plan(14);
select tests.create_user('owner');
create function pg_temp.traces_with(headers text) returns text language plpgsql as $$
begin
  perform set_config('request.headers', headers, true);
  update public.workspaces set name = name || '.' where id = tests.id('owner');
  return (select format('%s | %s | %s', host(ip_address), user_agent, request_id) from public.audit_logs order by id desc limit 1);
end;
$$;
grant execute on all functions in schema pg_temp to public;
select tests.sign_in('owner');
select is(pg_temp.traces_with(''), ' |  | ', 'no headers');
select is(pg_temp.traces_with('nonsense'), ' |  | ', 'no JSON');
select is(pg_temp.traces_with('["user-agent"]'), ' |  | ', 'no object');
select is(pg_temp.traces_with('{"user-agent": "a", "x-forwarded-for": "unknown"}'), ' | a | ', 'no address');
select is(pg_temp.traces_with('{"x-forwarded-for": " 2001:db8::1 , 10.0.0.1", "x-request-id": "r"}'), '2001:db8::1 |  | r', 'the first of several');
select is(pg_temp.traces_with('{"cf-connecting-ip": "203.0.113.5", "x-forwarded-for": "198.51.100.1"}'), '203.0.113.5 |  | ', 'what the edge has seen before what it was told');
select is(pg_temp.traces_with('{"user-agent": "a", "x-forwarded-for": "::/0"}'), ' | a | ', 'a network is no address');
select is(pg_temp.traces_with('{"user-agent": "a", "x-forwarded-for": "203.0.113.5/32"}'), ' | a | ', 'of whatever size');
select is(pg_temp.traces_with('{"user-agent": "a", "cf-connecting-ip": "0.0.0.0/0", "x-forwarded-for": "203.0.113.5"}'), ' | a | ', 'whoever says so');
select is(pg_temp.traces_with('{"user-agent": "a", "cf-connecting-ip": "nonsense"}'), ' | a | ', 'and what is none fails nothing');
select is(pg_temp.traces_with('{"user-agent": "\u0000", "x-request-id": "r"}'), ' |  | ', 'what no text may hold');
select is(pg_temp.traces_with(json_build_object('user-agent', repeat('a', 9999))::text), ' | ' || repeat('a', 500) || ' | ', 'what is too long is cut');
select tests.be_postgres();
select set_config('request.jwt.claims', '{"sub": "nobody"}', true);
select lives_ok($$ update public.system_config set config_value = '4' where config_key = 'signup_credits' $$, 'a token without an account''s id');
select is((select actor_id from public.audit_logs order by id desc limit 1), null, 'names nobody');

select * from finish();
rollback;
