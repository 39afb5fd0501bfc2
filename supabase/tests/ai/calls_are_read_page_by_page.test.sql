begin;
select plan(31);
select tests.create_user('ann'), tests.create_user('adam'), tests.create_user('mel'), tests.create_user('stranger');
select tests.create_team('team');
select tests.join_team('team', 'ann', 'owner'), tests.join_team('team', 'adam', 'admin'), tests.join_team('team', 'mel');
insert into private.ai_usage_logs (workspace_id, user_id, model, scene, status, api_key_id, reference_id, created_at, cost_usd)
select tests.id('team'), tests.id(person), model, scene::public.ai_usage_scene, status::public.ai_usage_status, tests.id(key), reference, at::timestamptz, 1
from (values
  ('ann', 'one', 'text_chat', 'success', 'a key', 'order-1', '2026-01-01'),
  ('mel', 'two', 'embedding', 'success', null, null, '2026-01-02'),
  ('mel', 'three', 'text_chat', 'failed', null, 'order-1', '2026-01-03'),
  ('ann', 'four', 'text_chat', 'success', null, repeat('é', 500), '2026-01-04'),
  ('mel', 'five', 'other', 'refused', null, 'order-1', '2026-01-04'),
  ('ann', 'six', 'text_chat', 'success', null, null, '2026-01-05')
) c (person, model, scene, status, key, reference, at);
insert into private.ai_usage_logs (workspace_id, user_id, model, scene, status)
select tests.id('ann'), tests.id('ann'), 'at home', 'other', 'success';

create function pg_temp.listed(filters text default '') returns text
language plpgsql as $$
declare
  models text;
begin
  execute format('select string_agg(model, '' '') from public.call_history(tests.id(''team'')%s)', ', ' || nullif(filters, '')) into models;
  return models;
end;
$$;
grant execute on function pg_temp.listed to public;

insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('recorded', 'R', 'up', 1);
insert into public.ai_model_prices (model, effective_from) values ('recorded', '2020-01-01');
select tests.be_service();
select lives_ok($$ select public.record_ai_usage(tests.id('stranger'), 'recorded', 'a request', details => jsonb_build_object('reference_id', repeat('é', 5000))) $$,
  'a long reference hinders no call');
select is((select length(reference_id) from public.call_history(tests.id('stranger'))), 500, 'its beginning is kept');
select is(pg_temp.listed($$ "to" => '2026-01-04' $$), 'three two one', 'newest first, up to a time that is not in it');
select is(pg_temp.listed($$ "from" => '2026-01-05' $$), 'six', 'and from one that is');
select is(pg_temp.listed($$ scene => 'embedding' $$), 'two', 'the scene is a filter');
select is(pg_temp.listed($$ model => 'three' $$), 'three', 'so is the model');
select is(pg_temp.listed($$ status => 'refused' $$), 'five', 'how it ended');
select is(pg_temp.listed($$ api_key_id => tests.id('a key') $$), 'one', 'the key');
select is(pg_temp.listed($$ user_id => tests.id('mel'), "to" => '2026-01-04' $$), 'three two', 'the person');
select is(pg_temp.listed($$ reference_id => 'order-1' $$), 'five three one', 'the reference');
select is(pg_temp.listed($$ reference_id => 'order-1', user_id => tests.id('mel'), status => 'failed' $$), 'three', 'several of them');
select is(pg_temp.listed($$ reference_id => repeat('é', 5000) $$), 'four', 'which finds it');
select is(pg_temp.listed($$ reference_id => repeat('é', 499) $$), null, 'and all of that counts');
select results_eq($$
  with first as (select * from public.call_history(tests.id('team'), max_rows => 2)),
    second as (select n.* from public.call_history(tests.id('team'), (select id from first offset 1), 2) n)
  select model from first union all select model from second
  union all select n.model from public.call_history(tests.id('team'), (select id from second offset 1)) n
$$, $$ select model from public.ai_usage_logs where workspace_id = tests.id('team') order by created_at desc, id desc $$,
  'a page begins behind the last of the one before, also between two of one instant');
select throws_ok($$ select public.call_history(tests.id('team'), max_rows => 201) $$, 'PT400', 'invalid_request', 'a page has 200 at most');
select throws_ok($$ select public.call_history(tests.id('team'), max_rows => 0) $$, 'PT400', 'invalid_request', 'and one at least');
select throws_ok($$ select public.call_history(tests.id('team'), tests.id('none')) $$, 'PT404', 'not_found', 'a cursor is a call');
select throws_ok($$ select public.call_history(tests.id('team'), (select id from public.ai_usage_logs where model = 'at home')) $$, 'PT404', 'not_found',
  'of this workspace');
select throws_ok($$ select public.call_history(tests.id('nowhere')) $$, 'PT404', 'not_found', 'a workspace that is not there is not found');
select throws_ok($$ select public.call_history() $$, 'PT404', 'not_found', 'and the service role has none of its own');
select set_eq($$ select jsonb_object_keys(to_jsonb(h)) from public.call_history(tests.id('team'), max_rows => 1) h $$,
  $$ select attname::text from pg_catalog.pg_attribute where attrelid = 'public.ai_usage_logs'::regclass and attnum > 0 $$, 'a call shows what the view shows');
select tests.remember('four', id) from public.ai_usage_logs where model = 'four';

select tests.sign_in('ann');
select is(pg_temp.listed(), (select string_agg(model, ' ' order by created_at desc, id desc) from public.ai_usage_logs
  where workspace_id = tests.id('team')), 'an owner reads what the log shows them');
select is((select string_agg(model, ' ') from public.call_history()), 'at home', 'without a workspace, of their own');
select tests.sign_in('adam');
select is(pg_temp.listed($$ model => 'two' $$), 'two', 'so does an admin');
select tests.sign_in('mel');
select is(pg_temp.listed(), 'five three two', 'a member reads their own');
select is(pg_temp.listed($$ reference_id => 'order-1' $$), 'five three', 'by reference, too');
select is(pg_temp.listed($$ user_id => tests.id('ann') $$), null, 'and nobody else''s');
select throws_ok($$ select public.call_history(tests.id('team'), tests.recall('four')::uuid) $$, 'PT404', 'not_found', 'nor where those stand');
select tests.sign_in('stranger');
select throws_ok($$ select public.call_history(tests.id('team')) $$, 'PT404', 'not_found', 'to a stranger the team is not there');
select throws_ok($$ select public.call_history(tests.id('ann')) $$, 'PT404', 'not_found', 'nor anybody''s own workspace');
select tests.be_anonymous();
select throws_ok($$ select public.call_history(tests.id('team')) $$, '42501', null, 'without sign-in there is nothing to read');

select * from finish();
rollback;
