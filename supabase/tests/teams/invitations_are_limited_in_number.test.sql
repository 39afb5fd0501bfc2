begin;
select plan(15);
select tests.create_user('ann'), tests.create_user('ben');
select tests.create_team('team'), tests.join_team('team', 'ann', 'owner'), tests.join_team('team', 'ben', 'admin');
select tests.create_team('other'), tests.join_team('other', 'ann', 'owner');
create function pg_temp.as_of(person text, what text) returns text language plpgsql as $$
begin
  perform tests.sign_in(person);
  begin
    execute 'select ' || what;
  exception when others then
    perform tests.be_postgres();
    return sqlstate || ' ' || sqlerrm;
  end;
  perform tests.be_postgres();
  return 'sent';
end $$;
create function pg_temp.later(span interval) returns void language sql as $$
  update private.invitation_mails set sent_at = sent_at - span;
  update public.workspace_invitations set sent_at = sent_at - span
$$;

-- An address.
select is(pg_temp.as_of('ann', $$public.invite_member(tests.id('team'), 'cal@example.test')$$), 'sent', 'an address is invited');
select is(pg_temp.as_of('ann', $$public.invite_member(tests.id('team'), ' CAL@example.test ')$$), 'PT429 limit_reached', 'and not again at once');
select is(pg_temp.as_of('ben', $$public.invite_member(tests.id('team'), 'cal@example.test')$$), 'PT429 limit_reached', 'not by somebody else of the team');
select is(pg_temp.as_of('ann', $$public.invite_member(tests.id('other'), 'cal@example.test')$$), 'PT429 limit_reached', 'nor into another team');
select is(pg_temp.as_of('ann', format('public.revoke_invitation(%L)', (select id from public.workspace_invitations))), 'sent', 'nor when it was revoked');
select is(pg_temp.as_of('ann', $$public.invite_member(tests.id('team'), 'cal@example.test')$$), 'PT429 limit_reached', 'meanwhile');
select pg_temp.later('61 s');
select is(pg_temp.as_of('ann', $$public.invite_member(tests.id('team'), 'cal@example.test')$$), 'sent', 'after a minute it is');
select is((select count(*) from private.invitation_mails where address_hash::text like '%cal%' or encode(address_hash, 'escape') like '%cal%'), 0::bigint,
  'the count keeps no address');

-- A day.
update public.system_config set config_value = '4' where config_key = 'invitations_per_day';
select is(pg_temp.as_of('ann', $$public.invite_member(tests.id('team'), 'three@example.test')$$), 'sent', 'a person sends some a day');
select pg_temp.later('61 s');
select is(pg_temp.as_of('ann', format('public.resend_invitation(%L)', (select id from public.workspace_invitations where email = 'three@example.test'))),
  'sent', 'one that is sent again is one of them');
select is(pg_temp.as_of('ann', $$public.invite_member(tests.id('other'), 'five@example.test')$$), 'PT429 limit_reached', 'they are counted over all teams');
select is(pg_temp.as_of('ann', $$public.delete_workspace(tests.id('team'))$$), 'sent', 'a team that is deleted');
select is(pg_temp.as_of('ann', $$public.invite_member(tests.id('other'), 'five@example.test')$$), 'PT429 limit_reached', 'takes none of the count along');
select pg_temp.later('24 hours');
select is(pg_temp.as_of('ann', $$public.invite_member(tests.id('other'), 'five@example.test')$$), 'sent', 'the next day there are more');
select is((select count(*) from private.invitation_mails where user_id = tests.id('ann')), 1::bigint, 'and the old ones are forgotten');

select * from finish();
rollback;
