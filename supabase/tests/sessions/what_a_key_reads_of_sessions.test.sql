-- What function sessions is given for a person or a key: what their own client could read, in the key's workspace alone.
begin;
select plan(39);
select tests.create_user('author'), tests.create_user('admin'), tests.create_user('member'), tests.create_user('stranger'), tests.create_team('team');
select tests.join_team('team', 'admin', 'admin'), tests.join_team('team', 'author'), tests.join_team('team', 'member');
select tests.write_session('kept', 'author', 'team', transcript => 'secret words', levels => 'rrryg'), tests.write_session('shared', 'author', 'team', true, transcript => 'words', levels => 'g'),
  tests.write_session('own', 'author', levels => 'yy');
-- What a person, or a key's, is answered; the code of an error.
create function pg_temp.read(person text, what text, session text default null, rest jsonb default '{}', key text default null) returns jsonb language plpgsql as $$
begin
  return public.read_sessions(tests.id(person), what, tests.id(session), (rest ->> 'before')::integer, coalesce((rest ->> 'most')::integer, 50), (rest ->> 'from')::date,
    (rest ->> 'to')::date, tests.id(rest ->> 'of'), tests.id(rest ->> 'in'), encode(sha256(convert_to(key, 'UTF8')), 'hex'));
exception when others then
  return to_jsonb(sqlerrm);
end;
$$;

select is(pg_temp.read(person, 'session', 'kept') ->> 'transcript', said, format('the transcript of one that is not shared, to %s: %s', person, said))
from (values ('author', 'secret words'), ('admin', null)) x (person, said);
select is(pg_temp.read('admin', 'session', 'kept') #>> '{usage,red_count}' || (pg_temp.read('admin', 'session', 'kept') #>> '{session,status}'), '3in_progress', 'with its figures and its state');
select is(pg_temp.read(person, what, 'kept'), '"not_found"', format('%s is not told that it exists: %s', person, what))
from unnest('{member,stranger}'::text[]) person, unnest('{session,analysis_logs,safety_distribution,timeline}'::text[]) what;
select is(pg_temp.read('member', 'session', 'shared') ->> 'transcript', 'words', 'a member reads a shared one');
select is(pg_temp.read('author', 'session', 'no such'), '"not_found"', 'nobody reads what is not there');
select is(pg_temp.read('author', 'session'), '"not_found"', 'or has no name');
select is(pg_temp.read('author', 'x', 'kept'), '"invalid_request"', 'or asks for something else');
select is(pg_temp.read('author', 'safety_distribution', 'kept'),
  '{"red_count": 3, "yellow_count": 1, "green_count": 1, "total_count": 5, "red_percentage": 60.00, "yellow_percentage": 20.00, "green_percentage": 20.00}', 'its levels');
select is(pg_temp.read('author', 'timeline', 'kept') -> 'levels', '["red", "red", "red", "yellow", "green"]', 'its timeline');

-- Pages of logs.
select is((select concat(string_agg(l ->> 'sequence_number', ','), ' ', r.page ->> 'has_more') from (select pg_temp.read('author', 'analysis_logs', 'kept', rest) as page) r
  left join lateral jsonb_array_elements(r.page -> 'data') l on true group by r.page), said, format('the page %s: %s', rest, said))
from (values ('{"most": 2}'::jsonb, '5,4 true'), ('{"most": 2, "before": 4}', '3,2 true'), ('{"most": 2, "before": 2}', '1 false'), ('{"most": 5}', '5,4,3,2,1 false'), ('{"before": 1}', ' false'),
  ('{"before": -5}', ' false')) x (rest, said);
select is(pg_temp.read('author', 'analysis_logs', 'kept', format('{"most": %s}', most)::jsonb), '"invalid_request"', 'a page has 1 to 200: not ' || most) from unnest('{0,201}'::integer[]) most;

-- Sums.
select is(pg_temp.read(person, 'usage_stats', rest => rest) ->> 'total_analysis_count', said, format('%s counts, of %s: %s', person, rest, said))
from (values ('author', '{}'::jsonb, '8'), ('admin', '{"in": "team"}', '6'), ('member', '{"in": "team"}', '0'), ('stranger', '{"of": "author"}', '0')) x (person, rest, said);

-- A key reads in its workspace, where its scenes allow it.
select tests.sign_in('author');
select tests.remember('own', to_jsonb(public.create_api_key('at home')) ->> 'key');
select tests.remember('chats', to_jsonb(public.create_api_key('for chats', allowed_scenes => '{text_chat}')) ->> 'key');
select tests.sign_in('admin');
select tests.remember('team', to_jsonb(public.create_api_key('for the team', tests.id('team'))) ->> 'key');
select tests.be_postgres();
select is(pg_temp.read(null, 'session', session, key => tests.recall(key)) #>> array['session', 'client_id'], said, format('the key %s reads %s: %s', key, session, said))
from (values ('own', 'own', 'own'), ('own', 'kept', null), ('own', 'shared', null), ('team', 'kept', 'kept'), ('team', 'own', null)) x (key, session, said);
select is(pg_temp.read(null, 'session', 'kept', key => tests.recall('team')) ->> 'transcript', null, 'a key hears what its person would');
select is(pg_temp.read(null, 'usage_stats', key => tests.recall(key)) ->> 'total_analysis_count', said, format('and counts its workspace, %s: %s', key, said))
from (values ('own', '2'), ('team', '6')) x (key, said);
select is(pg_temp.read(null, 'usage_stats', key => tests.recall('chats')), '"forbidden"', 'a key for other scenes reads none');
select is(pg_temp.read(null, 'usage_stats', rest => '{"in": "team"}', key => tests.recall('own')), '"forbidden"', 'nor one of another workspace');

select * from finish();
rollback;
