begin;
select plan(6);

update public.system_config set config_value = '7.25' where config_key = 'signup_credits';
select tests.create_user('ann');
select is(tests.grants('ann'), '7.25 of 7.25 free', 'as many as it says');
update public.system_config set config_value = '0' where config_key = 'signup_credits';
select tests.create_user('ben');
select is(tests.wallet('ben'), 'balance 0, total 0, spent 0, expired 0, held 0', 'none where it says 0');
select is(tests.grants('ben'), null, 'and no empty grant');
update public.system_config set is_active = false where config_key = 'signup_credits';
select tests.create_user('cem');
select is(tests.grants('cem'), '3 of 3 free', '3 where it is inactive');

update public.system_config set is_active = true, config_value = '60000' where config_key = 'signup_credits';
select tests.create_user('dan');
select is(tests.grants('dan'), '60000 of 60000 free', 'more than a balance may be, where it says so');
update public.system_config set config_value = '1.23456789' where config_key = 'signup_credits';
select tests.create_user('eva');
select is(tests.grants('eva'), '1.234568 of 1.234568 free', 'rounded to what credits can be');

select * from finish();
rollback;
