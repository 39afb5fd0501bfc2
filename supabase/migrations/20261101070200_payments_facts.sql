-- What is known of subscriptions, payments, refunds and disputes. Events arrive twice, late and in any order, and none
-- of that may matter: what is known is folded from all events that were applied. For each field the newest event that
-- has a value counts, by the platform's time, then the rank of the state (times tie within a second), then the event's
-- id.

create type private.payment_subject as enum ('customer', 'subscription', 'payment', 'reversal');
comment on type private.payment_subject is 'What events are about. A reversal is a refund or a dispute.';

create view private.payment_facts as
select e.platform, 'customer'::private.payment_subject as subject, e.customer_id as subject_id, e.event_id,
  e.occurred_at,
  coalesce((e.facts ->> 'rank')::integer, 0) as rank, e.facts -> 'customer' as facts
from public.payment_events e
where e.applied_at is not null and e.facts ? 'customer'
union all
-- A subscription that an event names by its payment alone exists all the same.
select e.platform, 'subscription', e.subscription_id, e.event_id, e.occurred_at,
  coalesce((e.facts ->> 'rank')::integer, 0),
  coalesce(e.facts -> 'subscription', '{}') || jsonb_build_object('customer_id', e.customer_id)
from public.payment_events e
where e.applied_at is not null and e.subscription_id is not null
union all
select e.platform, 'payment', e.payment_id, e.event_id, e.occurred_at, coalesce((e.facts ->> 'rank')::integer, 0),
  case when e.facts #>> '{payment,kind}' = 'subscription' then jsonb_build_object('subscription_id', e.subscription_id)
    else '{}' end || (e.facts -> 'payment') || jsonb_build_object('customer_id', e.customer_id)
from public.payment_events e
where e.applied_at is not null and e.payment_id is not null
union all
select e.platform, 'reversal', e.reversal_id, e.event_id, e.occurred_at, coalesce((e.facts ->> 'rank')::integer, 0),
  e.facts -> 'reversal'
from public.payment_events e
where e.applied_at is not null and e.reversal_id is not null;
comment on view private.payment_facts is 'What each applied event reported of each thing, as the inbox has it.';

create table private.payment_references (
  platform public.payment_platform not null,
  reference text not null,
  subject private.payment_subject not null,
  subject_id text not null,
  primary key (platform, reference, subject, subject_id)
);
comment on table private.payment_references is
  'Ids under which payments are known and reversals name them: an invoice is paid by a payment intent, which is what a '
  'refund names.';
create index payment_references_subject_id_idx on private.payment_references (platform, subject, subject_id);

create view private.payment_reversals as
select distinct p.platform, p.subject_id as payment_id, r.subject_id as reversal_id
from private.payment_references p
join private.payment_references r on r.platform = p.platform and r.reference = p.reference and r.subject = 'reversal'
where p.subject = 'payment';
comment on view private.payment_reversals is
  'Which payments a refund or dispute takes back: none as long as they are unknown.';

-- What a platform's product and price are here; null where they are not ours.
create function private.product_of(
  of_platform public.payment_platform, of_product text, of_price text
) returns public.payment_products language plpgsql stable set search_path = '' as $$
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

-- Facts of something with several items or lines, as those of the one that is a plan of ours (of two, the one with
-- the most credits), else any product of ours, else the first.
create function private.with_product(of_platform public.payment_platform, facts jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
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

-- All that is known of a thing: for each field the newest value; state_…: the place of its newest event in their
-- order.
create function private.known_of(
  of_platform public.payment_platform, of_subject private.payment_subject, of_id text
) returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return (
    select coalesce(jsonb_object_agg(newest.key, newest.value), '{}')
    from (
      select distinct on (v.key) v.key, v.value
      from private.payment_facts f,
        jsonb_each(case when f.facts ? 'items' then private.with_product(f.platform, f.facts) else f.facts end
          || jsonb_build_object('state_occurred_at', f.occurred_at, 'state_rank', f.rank, 'state_event_id', f.event_id,
            -- A payment that succeeded does not fail later, whatever late events say of the tries before it.
            'was_paid', nullif(f.facts ->> 'status' = 'succeeded', false))) v
      where f.platform = of_platform and f.subject = of_subject and f.subject_id = of_id and v.value <> 'null'
      order by v.key, f.occurred_at desc, f.rank desc, f.event_id desc
    ) newest
  );
end;
$$;

insert into private.secrets (name, value) values ('checkout_key', extensions.gen_random_bytes(32));

-- What our own checkout writes into its metadata: where links take metadata from the URL, nobody else can.
create function private.checkout_proof(wanted_workspace uuid, for_user uuid) returns text
language plpgsql stable set search_path = '' as $$
begin
  return (select encode(extensions.hmac(convert_to(concat_ws(' ', wanted_workspace, for_user), 'UTF8'), s.value,
    'sha256'), 'hex')
    from private.secrets s where s.name = 'checkout_key');
end;
$$;

-- Whether a customer is none of the platform's: an address that somebody typed proves nothing of the next payment.
create function private.is_guest(customer_id text) returns boolean language plpgsql immutable set search_path = '' as $$
begin
  return customer_id ~ '^(email|payment):';
end;
$$;

-- What was given back by the refunds that a reversal sums up, without those that failed; null: all of it.
create function private.refunded_of(of_platform public.payment_platform, of_reversal text) returns numeric
language plpgsql stable set search_path = '' as $$
begin
  return (
    with reported as (
      select f.occurred_at, (f.facts ->> 'amount')::numeric as amount, f.facts ->> 'failed_refund' as failed_refund,
        (f.facts ->> 'failed_amount')::numeric as failed_amount
      from private.payment_facts f
      where f.platform = of_platform and f.subject = 'reversal' and f.subject_id = of_reversal
    ), failed as (
      -- Several events report one failure.
      select min(t.occurred_at) as at, max(t.failed_amount) as amount from reported t
      where t.failed_refund is not null group by t.failed_refund
    ), newest as (
      select max(t.occurred_at) as at from reported t where t.amount is not null
    )
    -- What a platform sums up grows with each refund (two events of one second have no other order) and is less after
    -- one failed: so its highest sum since the failure before its newest, less what failed after that.
    select greatest(max(t.amount) - coalesce((select sum(f.amount) from failed f where f.at >= n.at), 0), 0)
    from newest n
    join reported t on t.amount is not null
      and t.occurred_at > coalesce((select max(f.at) from failed f where f.at < n.at), '-infinity')
    group by n.at
  );
end;
$$;

-- All refunds and disputes of a payment together: what was taken back, of how much (null: unknown), and whether a
-- dispute is open or lost.
create function private.reversals_of(
  of_platform public.payment_platform, of_payment text, out amount numeric, out total numeric, out is_disputed boolean
) language plpgsql stable set search_path = '' as $$
begin
  -- A dispute that was won takes nothing back. Without an amount it is all of it.
  select coalesce(sum(coalesce(case when k.kind = 'refund' then private.refunded_of(of_platform, r.reversal_id)
      else k.amount end, 'infinity')) filter (where k.status in ('succeeded', 'open', 'lost', 'settled')), 0),
    max(k.total), coalesce(bool_or(k.status in ('open', 'lost')), false)
  into amount, total, is_disputed
  from private.payment_reversals r
  cross join lateral jsonb_to_record(private.known_of(of_platform, 'reversal', r.reversal_id))
    k (kind text, status text, amount numeric, total numeric)
  where r.platform = of_platform and r.payment_id = of_payment;
end;
$$;
