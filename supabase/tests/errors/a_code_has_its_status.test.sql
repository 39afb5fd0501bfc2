begin;
select plan(4);

select results_eq($$
  select code, private.error_status(code) from unnest(array['invalid_request', 'content_policy_violation', 'invalid_api_key', 'session_revoked', 'not_authenticated',
    'insufficient_credits', 'forbidden', 'account_disabled', 'model_not_allowed', 'feature_not_in_plan', 'not_found',
    'idempotency_conflict', 'invalid_state', 'credits_cap_exceeded', 'rate_limited', 'limit_reached', 'upstream_error',
    'upstream_timeout', 'maintenance']) code
$$, $$
  values ('invalid_request', 400), ('content_policy_violation', 400), ('invalid_api_key', 401), ('session_revoked', 401), ('not_authenticated', 401), ('insufficient_credits', 402),
    ('forbidden', 403), ('account_disabled', 403), ('model_not_allowed', 403), ('feature_not_in_plan', 403),
    ('not_found', 404), ('idempotency_conflict', 409), ('invalid_state', 409), ('credits_cap_exceeded', 422),
    ('rate_limited', 429), ('limit_reached', 429), ('upstream_error', 502), ('upstream_timeout', 504),
    ('maintenance', 503)
$$, 'every code has one HTTP status');
select is(private.error_status('no_such_code'), null, 'an unknown one has none');
select throws_ok($$ select private.raise_error('no_such_code', 'x') $$, 'P0001', null,
  'and is not raised as if it had');
select throws_ok($$ select private.raise_error('not_found', 'There is none.') $$, 'PT404', 'not_found',
  'an error''s SQLSTATE is its status and its message its code');

select * from finish();
rollback;
