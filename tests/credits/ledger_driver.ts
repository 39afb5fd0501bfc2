/** Plays a sequence of requests to the real ledger: one round trip, in a transaction that is rolled back. */
import type pg from 'pg';
import type { Request } from './ledger_model.ts';

/** A request and its hour. */
export type Step = { at: number; request: Request };

/** What the database said to a step and the state it left, amounts as decimal text. */
export type Reply = {
  error: string | null;
  answer: Record<string, string | null> | null;
  wallet: Record<'balance' | 'total' | 'spent' | 'expired' | 'held', string>;
  grants: string[];
  holds: string[];
  entries: number;
};

/** Writes micro-credits as the database writes them. */
export function decimal(micro: bigint): string {
  const digits = String(micro < 0n ? -micro : micro).padStart(7, '0');
  const text = `${digits.slice(0, -6)}.${digits.slice(-6)}`.replace(/\.?0+$/, '');
  return micro < 0n ? `-${text}` : text;
}

/**
 * Makes the function that plays sequences, for the life of a connection. It keeps the ids of grants, holds and entries in the order in which
 * they came to be, catches each step's error, and rereads the wallet after each step. A hold that is due and not yet swept
 * is told as expired: whether a sweep has come by is nobody's business.
 */
export async function preparePlayer(client: pg.Client): Promise<void> {
  await client.query(PLAYER);
}

/** Plays a sequence on a new wallet. With `isSwept` a sweep comes by when the hour has changed. `drift` is what verify_credits says. */
export async function play(
  client: pg.Client,
  sequence: { steps: Step[]; overdraft: bigint; isSwept: boolean },
): Promise<{ replies: Reply[]; drift: unknown[] }> {
  const requests = JSON.stringify(
    sequence.steps.map(({ at, request }) => ({ at, ...request })),
    (_, value) => (typeof value === 'bigint' ? decimal(value) : value),
  );
  await client.query('begin');
  try {
    const { rows } = await client.query('select pg_temp.play($1, $2, $3) as played', [
      decimal(sequence.overdraft),
      sequence.isSwept,
      requests,
    ]);
    return rows[0].played;
  } finally {
    await client.query('rollback');
  }
}

const PLAYER = `
create function pg_temp.hour(hours numeric) returns timestamptz language sql immutable as $$
  select timestamptz '2030-01-01 00:00Z' + make_interval(hours => hours::integer)
$$;

create function pg_temp.serve(account uuid, grants uuid[], holds uuid[], entries bigint[], r jsonb, at timestamptz)
returns public.credit_result language plpgsql as $$
declare
  key text := r ->> 'key';
  amount numeric := r ->> 'amount';
  hold uuid := coalesce(holds[(r ->> 'hold')::integer + 1], gen_random_uuid());
  lasting interval := make_interval(hours => (r ->> 'expiresIn')::integer);
begin
  case r ->> 'op'
    when 'credit' then
      return public.credit_user_credits_transaction(account, amount, 'manual', idempotency_key => key,
        kind => (r ->> 'kind')::public.credit_grant_kind, expires_at => pg_temp.hour((r ->> 'expiresAt')::numeric),
        priority => (r ->> 'priority')::integer, at => serve.at);
    when 'debit' then
      return public.debit_user_credits_transaction(account, amount, 'generation', idempotency_key => key, at => serve.at);
    when 'refund' then
      return public.refund_user_credits(account, amount, 'refund', idempotency_key => key, at => serve.at,
        transaction_id => case when r ->> 'entry' is not null then coalesce(entries[(r ->> 'entry')::integer + 1], -1) end);
    when 'clawback' then
      return public.clawback_credits(coalesce(grants[(r ->> 'grant')::integer + 1], gen_random_uuid()), amount, 'dispute',
        idempotency_key => key, at => serve.at);
    when 'hold' then
      return public.hold_credits(account, amount, 'generation', idempotency_key => key, expires_in => lasting, at => serve.at);
    when 'extend' then
      return public.extend_credit_hold(hold, amount, case when r ->> 'expiresIn' is not null then lasting end, key, serve.at);
    when 'settle' then
      return public.settle_credit_hold(hold, amount, keep_open => (r ->> 'keepOpen')::boolean, idempotency_key => key,
        at => serve.at);
    when 'release' then
      return public.release_credit_hold(hold, serve.at);
    when 'expire' then
      perform public.expire_credits(account, serve.at);
      return null;
  end case;
end $$;

create function pg_temp.state(account uuid, grants uuid[], holds uuid[], entries bigint[], at timestamptz)
returns jsonb language sql as $$
  select jsonb_build_object(
    'wallet', jsonb_build_object(
      'balance', trim_scale(w.credits_balance)::text, 'total', trim_scale(w.credits_total)::text,
      'spent', trim_scale(w.credits_spent)::text, 'expired', trim_scale(w.credits_expired)::text,
      'held', trim_scale(w.credits_held - coalesce((select sum(h.amount) from public.credit_holds h
        where h.workspace_id = account and h.state = 'open' and h.expires_at <= state.at), 0))::text),
    'grants', (select coalesce(jsonb_agg(concat_ws(' ', trim_scale(g.amount), trim_scale(g.remaining),
        trim_scale(g.expired_amount), trim_scale(g.clawed_back_amount), g.is_paid::text) order by l.place), '[]')
      from unnest(grants) with ordinality l (id, place) join public.credit_grants g on g.id = l.id),
    'holds', (select coalesce(jsonb_agg(concat_ws(' ', trim_scale(h.settled_amount),
        case when h.state = 'open' and h.expires_at <= state.at then 'expired' else h.state::text end) order by l.place), '[]')
      from unnest(holds) with ordinality l (id, place) join public.credit_holds h on h.id = l.id),
    'entries', cardinality(entries))
  from public.credit_wallets w where w.workspace_id = account
$$;

create function pg_temp.play(overdraft numeric, is_swept boolean, requests jsonb) returns jsonb language plpgsql as $$
declare
  account uuid := gen_random_uuid();
  grants uuid[] := '{}';
  holds uuid[] := '{}';
  entries bigint[] := '{}';
  r jsonb;
  at timestamptz;
  swept_at timestamptz := '-infinity';
  answer public.credit_result;
  told jsonb;
  error text;
  replies jsonb := '[]';
begin
  insert into auth.users (id, is_anonymous) values (account, true);
  update public.credit_wallets set overdraft_limit = overdraft where workspace_id = account;
  for r in select jsonb_array_elements(requests) loop
    at := pg_temp.hour((r ->> 'at')::numeric);
    error := null;
    told := null;
    if is_swept and at > swept_at then
      swept_at := at;
      perform public.expire_credits(account, at);
      entries := array(select t.id from public.credit_transactions t where t.workspace_id = account order by t.id);
    end if;
    begin
      answer := pg_temp.serve(account, grants, holds, entries, r, at);
      told := to_jsonb(answer);
    exception when others then
      error := sqlstate || ' ' || sqlerrm;
    end;
    entries := array(select t.id from public.credit_transactions t where t.workspace_id = account order by t.id);
    grants := array(select g.id from public.credit_grants g where g.workspace_id = account order by g.created_at, g.id);
    if error is null and r ->> 'op' = 'hold' and answer.hold_id <> all (holds) then
      holds := holds || answer.hold_id;
    end if;
    replies := replies || (jsonb_build_object('error', error, 'answer', (
        select jsonb_object_agg(f.key, case when f.value ~ '^-?[0-9.]+$' then trim_scale(f.value::numeric)::text else f.value end)
        from jsonb_each_text(told) f))
      || pg_temp.state(account, grants, holds, entries, at));
  end loop;
  return jsonb_build_object('replies', replies,
    'drift', (select coalesce(jsonb_agg(v), '[]') from public.verify_credits(account) v));
end $$;
`;
