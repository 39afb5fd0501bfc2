begin;
select plan(4);
select tests.create_user('owner');
select tests.sell('prod_1', 100, 'basic');
update public.system_config set config_value = '5' where config_key = 'max_clock_skew_minutes';

select is(tests.deliver('evt_' || ordinality, tests.paid_period('prod_1', now(), 'owner'), moment, now()), 'applied',
  format('what the platform dates %s is not lost', moment))
from unnest(array['2126-01-01', 'infinity']::timestamptz[]) with ordinality x (moment);
select results_eq('select distinct e.occurred_at from public.payment_events e where e.event_id in (''evt_1'', ''evt_2'')',
  array[now()], 'it counts as told when it was received');
select tests.deliver('evt_3', tests.told_status('canceled', 'prod_1'), now() + interval '1 minute', now() + interval '1 minute');
select is((select u.subscription_status::text from public.users u where u.id = tests.id('owner')), 'canceled', 'and the next word stands above it');

select * from finish();
rollback;
