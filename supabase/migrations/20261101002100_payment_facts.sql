-- What events tell, kept as facts: events come twice, late and in any order, and none of that may matter.
-- The state of a thing is the fold of all that is known of it: for each field the word of the newest event that has
-- one, by the platform's time, then the rank of the state (times tie within a second), then the event's id.

create type private.payment_subject as enum ('customer', 'subscription', 'period', 'payment', 'reversal');
comment on type private.payment_subject is
  'What a fact is about. A period is one of a subscription''s; a reversal is a refund or a dispute.';

create table private.payment_facts (
  platform public.payment_platform not null,
  subject private.payment_subject not null,
  subject_id text not null,
  period_start timestamptz not null default '-infinity',
  event_id text not null,
  occurred_at timestamptz not null,
  rank integer not null,
  facts jsonb not null,
  primary key (platform, subject, subject_id, period_start, event_id)
);
comment on table private.payment_facts is
  'What each event told of each thing. Rows are never changed; those of customers go with their account.';
comment on column private.payment_facts.period_start is
  'Which period of the subscription; -infinity for all that is no period.';

create table private.payment_references (
  platform public.payment_platform not null,
  reference text not null,
  subject private.payment_subject not null,
  subject_id text not null,
  primary key (platform, reference, subject, subject_id)
);
comment on table private.payment_references is
  'Ids under which payments are known and reversals name them: an invoice is paid by a payment intent, '
  'which is what a refund names.';
create index payment_references_subject_id_idx on private.payment_references (platform, subject, subject_id);

create function private.product_of(of_platform public.payment_platform, of_product text, of_price text)
returns public.payment_products
language plpgsql stable set search_path = ''
as $$
declare
  product public.payment_products;
begin
  select * into product from public.payment_products p
  where p.platform = of_platform
    and (p.price_id = of_price or p.product_id = of_product and (p.price_id is null or of_price is null))
  order by p.price_id = of_price desc nulls last, p.is_active desc, p.created_at, p.id
  limit 1;
  return product;
end;
$$;
comment on function private.product_of is
  'What a platform''s product and price are here; null where they are not ours.';

create function private.with_product(of_platform public.payment_platform, facts jsonb) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  if not facts ? 'items' then
    return facts;
  end if;
  return facts - 'items' || coalesce((
    select i.item
    from jsonb_array_elements(facts -> 'items') with ordinality i (item, place),
      private.product_of(of_platform, i.item ->> 'product_id', i.item ->> 'price_id') product
    order by product.plan is null, product.id is null, product.credits desc nulls last, i.place
    limit 1
  ), '{}');
end;
$$;
comment on function private.with_product is
  'Facts of something with several items or lines, as the one tells that is a plan of ours (of two, '
  'the one with the most credits), else any product of ours, else the first.';

create function private.known_of(
  of_platform public.payment_platform, of_subject private.payment_subject, of_id text,
    of_period timestamptz default '-infinity'
) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select coalesce(jsonb_object_agg(told.key, told.value), '{}')
    from (
      select distinct on (e.key) e.key, e.value
      from private.payment_facts f,
        jsonb_each(case when f.facts ? 'items' then private.with_product(f.platform, f.facts) else f.facts end) e
      where f.platform = of_platform and f.subject = of_subject and f.subject_id = of_id and f.period_start = of_period
        and e.value <> 'null'
      order by e.key, f.occurred_at desc, f.rank desc, f.event_id desc
    ) told
  );
end;
$$;
comment on function private.known_of is 'All that is known of a thing: for each field the newest word.';

create type private.payment_state as (occurred_at timestamptz, rank integer, event_id text);
comment on type private.payment_state is 'The order of events.';

create function private.newest_state_of(of_platform public.payment_platform, of_subject private.payment_subject,
  of_id text)
returns private.payment_state
language plpgsql stable set search_path = ''
as $$
declare
  answer private.payment_state;
begin
  select * into answer from (
    select f.occurred_at, f.rank, f.event_id from private.payment_facts f
    where f.platform = of_platform and f.subject = of_subject and f.subject_id = of_id
    order by f.occurred_at desc, f.rank desc, f.event_id desc
    limit 1
  ) known;
  return answer;
end;
$$;
comment on function private.newest_state_of is 'Of the newest event that told of a thing, its place in the order.';

create function private.keep_fact(
  event public.payment_events, of_subject private.payment_subject, of_id text, told jsonb,
  of_period timestamptz default '-infinity'
) returns void
language plpgsql set search_path = ''
as $$
begin
  insert into private.payment_facts (platform, subject, subject_id, period_start, event_id, occurred_at, rank, facts)
  select event.platform, of_subject, of_id, of_period, event.event_id, event.occurred_at,
    coalesce((event.facts ->> 'rank')::integer, 0), told
  where of_id is not null and told is not null
  on conflict do nothing;
end;
$$;
comment on function private.keep_fact is 'Keeps what an event tells of one thing.';

create function private.keep_references(
  event public.payment_events, of_subject private.payment_subject, of_id text, names jsonb
) returns void
language plpgsql set search_path = ''
as $$
begin
  insert into private.payment_references (platform, reference, subject, subject_id)
  select distinct event.platform, n.name, of_subject, of_id
  from jsonb_array_elements_text(coalesce(names, '[]')) n (name)
  where of_id is not null and n.name is not null
  on conflict do nothing;
end;
$$;
comment on function private.keep_references is
  'Keeps the ids under which a payment is known, or which a reversal names.';

create function private.customer_of(facts jsonb) returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return (
    -- Who pays without an account at the platform is known by the address, or by the payment alone.
    select coalesce(facts #>> '{customer,id}', 'email:' || lower(trim(facts #>> '{customer,email}')),
      case when facts #>> '{payment,status}' = 'succeeded' then 'payment:' || (facts #>> '{payment,id}') end)
  );
end;
$$;
comment on function private.customer_of(jsonb) is 'What the customer of an event is called here.';

create function private.subscription_of(facts jsonb) returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return (
    select coalesce(facts #>> '{subscription,id}', facts #>> '{payment,subscription_id}')
  );
end;
$$;
comment on function private.subscription_of(jsonb) is 'The subscription that an event is about.';

create function private.keep_facts(event public.payment_events) returns void
language plpgsql set search_path = ''
as $$
declare
  facts jsonb := event.facts;
  payer jsonb := jsonb_build_object('customer_id', event.customer_id);
  payment jsonb := facts -> 'payment';
  reversal jsonb := facts -> 'reversal';
  subscription_id text := private.subscription_of(facts);
begin
  perform private.keep_fact(event, 'customer', event.customer_id, facts -> 'customer');
  -- Named by its payment alone, it is there all the same.
  perform private.keep_fact(event, 'subscription', subscription_id, coalesce(facts -> 'subscription', '{}') || payer);
  perform private.keep_fact(event, 'period', subscription_id, p.told, (p.told ->> 'start')::timestamptz)
  from jsonb_array_elements(jsonb_build_array(facts -> 'period') || coalesce(facts -> 'more_periods', '[]')) p (told)
  where p.told <> 'null';
  if payment ->> 'kind' = 'subscription' and subscription_id is not null then
    payment := jsonb_build_object('subscription_id', subscription_id) || payment;
  end if;
  perform private.keep_fact(event, 'payment', payment ->> 'id', (payment - 'references') || payer);
  perform private.keep_references(event, 'payment', payment ->> 'id',
    coalesce(payment -> 'references', '[]') || jsonb_build_array(payment -> 'id'));
  perform private.keep_fact(event, 'reversal', reversal ->> 'id', reversal - 'references');
  perform private.keep_references(event, 'reversal', reversal ->> 'id',
    coalesce(reversal -> 'references', '[]') || jsonb_build_array(reversal -> 'reference'));
end;
$$;
comment on function private.keep_facts(public.payment_events) is 'Keeps all that an event tells.';

insert into private.secrets (name, value) values ('checkout_key', extensions.gen_random_bytes(32));

create function private.checkout_proof(for_workspace uuid, for_user uuid) returns text
language plpgsql stable set search_path = ''
as $$
begin
  return (select encode(extensions.hmac(convert_to(concat_ws(' ', for_workspace, for_user), 'UTF8'), s.value, 'sha256'),
    'hex')
    from private.secrets s where s.name = 'checkout_key');
end;
$$;
comment on function private.checkout_proof(uuid, uuid) is
  'What our own checkout writes into its metadata: where links take metadata from the URL, nobody else can.';

create function private.is_guest(customer_id text) returns boolean
language plpgsql immutable set search_path = ''
as $$
begin
  return customer_id ~ '^(email|payment):';
end;
$$;
comment on function private.is_guest(text) is
  'Whether a customer is none of the platform''s: an address that somebody typed proves nothing of the next payment.';

create function private.payments_of_reversal(of_platform public.payment_platform, reversal_id text) returns setof text
language plpgsql stable set search_path = ''
as $$
begin
  return query
    select distinct p.subject_id
    from private.payment_references r
    join private.payment_references p on p.platform = r.platform and p.reference = r.reference and p.subject = 'payment'
    where r.platform = of_platform and r.subject = 'reversal' and r.subject_id = reversal_id;
end;
$$;
comment on function private.payments_of_reversal is
  'Which payments a refund or dispute takes back: none as long as they are unknown.';

create type private.reversals_known as (amount numeric, total numeric, is_disputed boolean);
comment on type private.reversals_known is
  'What was taken back of a payment, of how much (null: not told), and whether a dispute of it is open or lost.';

create function private.refunded_of(of_platform public.payment_platform, of_reversal text) returns numeric
language plpgsql stable set search_path = ''
as $$
begin
  return (
    with told as (
      select f.occurred_at, (f.facts ->> 'amount')::numeric as amount, f.facts ->> 'failed_refund' as failed_refund,
        (f.facts ->> 'failed_amount')::numeric as failed_amount
      from private.payment_facts f
      where f.platform = of_platform and f.subject = 'reversal' and f.subject_id = of_reversal
    ), failed as (
      -- Several events tell of one failure.
      select min(t.occurred_at) as at, max(t.failed_amount) as amount from told t
      where t.failed_refund is not null group by t.failed_refund
    ), newest as (
      select max(t.occurred_at) as at from told t where t.amount is not null
    )
    -- What a platform sums up grows with each refund (two words of one second have no other order) and is less after
    -- one failed: so its highest word since the failure before its newest, less what failed after that.
    select greatest(max(t.amount) - coalesce((select sum(f.amount) from failed f where f.at >= n.at), 0), 0)
    from newest n
    join told t on t.amount is not null
      and t.occurred_at > coalesce((select max(f.at) from failed f where f.at < n.at), '-infinity')
    group by n.at
  );
end;
$$;
comment on function private.refunded_of is
  'What was given back by the refunds that a reversal sums up, without those that failed; null: all of it.';

create function private.reversals_of(of_platform public.payment_platform, of_payment text)
returns private.reversals_known
language plpgsql stable set search_path = ''
as $$
declare
  answer private.reversals_known;
begin
  select * into answer from (
    -- Without an amount it is all of it.
    select coalesce(sum(coalesce(k.amount, 'infinity'))
      filter (where k.status in ('succeeded', 'open', 'lost', 'settled')), 0),
      max(k.total), coalesce(bool_or(k.status in ('open', 'lost')), false)
    from (
      select distinct r.subject_id
      from private.payment_references p
      join private.payment_references r on r.platform = p.platform and r.reference = p.reference
        and r.subject = 'reversal'
      where p.platform = of_platform and p.subject = 'payment' and p.subject_id = of_payment
    ) reversal
    cross join lateral (
      select case when known ->> 'kind' = 'refund' then private.refunded_of(of_platform, reversal.subject_id)
        else (known ->> 'amount')::numeric end as amount, (known ->> 'total')::numeric as total, known ->> 'status'
          as status
      from private.known_of(of_platform, 'reversal', reversal.subject_id) known
    ) k
  ) known;
  return answer;
end;
$$;
comment on function private.reversals_of is
  'All refunds and disputes of a payment together. A dispute that was won takes nothing back.';
