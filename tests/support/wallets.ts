/** Accounts with credits, made straight in the database, and a look at their ledger. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { adminPool, sql } from './stack.ts';

/** Makes accounts as sign-up does and gives them credits until their balance is `balance` (at least the 3 of a sign-up). */
export async function newAccounts(count: number, balance: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomUUID());
  await adminPool.query(
    `insert into auth.users (id, email) select id, 'person-' || id || '@example.test' from unnest($1::uuid[]) id`,
    [ids],
  );
  await sql(
    `select public.credit_user_credits_transaction(w.workspace_id, $2::numeric - w.credits_balance, 'manual')
       from public.credit_wallets w where w.workspace_id = any ($1::uuid[]) and w.credits_balance < $2::numeric`,
    [ids, balance],
  );
  return ids;
}

/** Makes one account with `balance` credits. */
export async function newAccount(balance: number): Promise<string> {
  const [id] = await newAccounts(1, balance);
  if (!id) throw new Error('No account was made.');
  return id;
}

/** A wallet's figures, as numbers. */
export type Wallet = { balance: number; total: number; spent: number; held: number };

/** Reads a wallet; undefined where there is none. */
export async function walletOf(id: string): Promise<Wallet | undefined> {
  const [wallet] = await sql<Wallet>(
    `select credits_balance::float8 as balance, credits_total::float8 as total, credits_spent::float8 as spent,
            credits_held::float8 as held
       from public.credit_wallets where workspace_id = $1`,
    [id],
  );
  return wallet;
}

/** The rows of `verify_credits` for these wallets: none where the ledger is right. */
export async function driftOf(ids: string[]): Promise<pg.QueryResultRow[]> {
  return sql('select v.* from unnest($1::uuid[]) id, public.verify_credits(id) v', [ids]);
}
