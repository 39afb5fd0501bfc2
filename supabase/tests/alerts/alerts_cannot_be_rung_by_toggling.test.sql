begin;
select plan(11);
select tests.create_user('owner'), tests.create_user('member');
select tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'member');
select public.credit_user_credits_transaction(tests.id('owner'), 1000, 'manual', workspace_id => tests.id('team'));
create function pg_temp.use(amount numeric) returns void language sql as $$
  select public.debit_user_credits_transaction(tests.id('member'), amount, 'manual', workspace_id => tests.id('team'))
$$;
create function pg_temp.told(about text default 'limit_share') returns integer language sql as $$
  select count(*)::integer from public.notifications n where n.user_id is null and n.kind = about
$$;
create function pg_temp.toggle(times integer, high numeric default 100, low numeric default 5) returns void language plpgsql as $$
begin
  perform tests.sign_in('owner');
  for i in 1 .. times loop
    perform public.set_member_limit(tests.id('team'), tests.id('member'), high);
    perform public.set_member_limit(tests.id('team'), tests.id('member'), low);
  end loop;
  perform public.set_member_limit(tests.id('team'), tests.id('member'), high);
  perform tests.be_postgres();
end $$;
insert into public.credit_alerts (workspace_id, kind, threshold) values
  (tests.id('team'), 'limit_share', 0.8), (tests.id('team'), 'limit_share', 1);
select pg_temp.use(5);

select pg_temp.toggle(30);
select is(pg_temp.told(), 2, 'a member''s limit that is lowered again and again rings each alert once');
select pg_temp.use(1);
select pg_temp.toggle(30);
select is(pg_temp.told(), 4, 'and once more when more is used');
select is((select count(*)::integer from public.notifications n where n.user_id = tests.id('member')), 4, 'for the member too');
select tests.sign_in('owner');
update public.credit_alerts set is_active = false;
update public.credit_alerts set is_active = true;
select tests.be_postgres();
select pg_temp.toggle(1);
select is(pg_temp.told(), 4, 'an alert that is switched off and on remembers');
select pg_temp.toggle(1, 10, 7);
select is(pg_temp.told(), 4, 'whatever the limits are');

insert into public.api_keys (workspace_id, user_id, name, prefix, budget) values
  (tests.id('team'), tests.id('owner'), 'k', 'sk-', 100), (tests.id('team'), tests.id('owner'), 'l', 'sk-', 100);
update public.spending_limits set credits_used = 5 where spender_kind = 'api_key';
select tests.sign_in('owner');
do $$ begin
  for i in 1 .. 30 loop
    update public.api_keys set budget = 6;
    update public.api_keys set budget = 100;
  end loop;
end $$;
select tests.be_postgres();
select is(pg_temp.told(), 6, 'each key''s budget once');

-- What really moves rings each time, until there is nothing more to be learned from it.
delete from public.credit_alerts;
insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.id('team'), 'low_balance', 500);
do $$ begin
  for i in 1 .. 120 loop
    perform public.debit_user_credits_transaction(tests.id('owner'), 600, 'manual', workspace_id => tests.id('team'));
    perform public.credit_user_credits_transaction(tests.id('owner'), 600, 'manual', workspace_id => tests.id('team'));
  end loop;
end $$;
select is(pg_temp.told('low_balance'), 100, 'of one kind a hundred a day are written');
select pg_temp.toggle(1, 100, 4);
select is(pg_temp.told(), 6, 'one that has rung stays silent');
select pg_temp.use(1);
insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.id('team'), 'limit_share', 0.8);
select pg_temp.toggle(1);
select is(pg_temp.told(), 7, 'other kinds are still told');
update public.notifications set created_at = created_at - interval '1 day' where true;
select public.debit_user_credits_transaction(tests.id('owner'), 600, 'manual', workspace_id => tests.id('team'));
select is(pg_temp.told('low_balance'), 101, 'and so is this one a day later');
select pg_temp.toggle(1);
select is(pg_temp.told(), 8, 'as is a limit that is as used as it was');

select * from finish();
rollback;
