-- Search in messages: one index of words, stems and, for scripts without spaces, overlapping pairs of characters. Every
-- entry begins with its workspace, so that a search reads no other workspace's, however common its words are.
-- Nothing here depends on the database's locale, as lower(), \w and the text search parser would: letters are told by
-- their code points, and dictionaries stem word by word. A change of what the index calls needs a reindex.

-- A text as search compares it: width and compatibility forms, case and accents don't count. It has as many characters
-- as what it was given, but for rare forms that stand for several.
create function private.fold_text(content text) returns text
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  folded text := content;
  -- What neither has another form nor is a part of one: ASCII, usual punctuation, kana, Chinese and Korean characters.
  others text := '[^\u0001-\u007f\u2010\u2012-\u2016\u2018-\u2023\u3001-\u3003\u3041-\u3096\u30a1-\u30fa'
    '\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]';
begin
  if octet_length(folded) > length(folded) and folded ~ others then
    folded := translate(folded, '…™', '  '); -- the common ones among the forms that stand for several
    if folded ~ '[，！？：；（）]' then
      folded := translate(folded, '，！？：；（）', ',!?:;()');
    end if;
  end if;
  if octet_length(folded) > length(folded) and folded ~ others then
    -- The breve of й is no accent, and endings of Russian words have it.
    folded := normalize(replace(replace(folded, 'й', e'\ue000'), 'Й', e'\ue000'), NFKD);
    folded := replace(normalize(regexp_replace(folded, '[\u0300-\u036f]+', '', 'g'), NFKC), e'\ue000', 'й');
    if folded ~ '[\u00c6-\u0152\u0391-\u03c2\u0401-\u042f\u0490]' then
      folded := translate(folded,
        'ÆŒÐÞØøŁłĐđıΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩςАБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯЄІҐЂЉЊЋЏЈЅ',
        'æœðþoollddiαβγδεζηθικλμνξοπρστυφχψωσабвгдежзиклмнопрстуфхцчшщъыьэюяєіґђљњћџјѕ');
    end if;
  end if;
  return lower(folded collate "C");
end;
$$;

-- The words of a text's first 50,000 characters, with one space before, between and after them. A run of characters of
-- a script that has no spaces between words (Chinese, Japanese, Thai …), or of Korean, is one that begins with "=".
create function private.search_text(content text) returns text
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  folded text := left(private.fold_text(left(content, 50000)), 50000);
begin
  if octet_length(folded) = length(folded) then
    folded := regexp_replace(folded, '[^a-z0-9]+', ' ', 'g');
  else
    folded := regexp_replace(folded, '[\u0001-/:-`{-\u00bf\u00d7\u00f7\u2000-\u2bff\u2e00-\u2e7f\u3000-\u3004'
      '\u3008-\u3020\u302a-\u3030\u303d-\u3040\u30fb\ue000-\uf8ff\ufe10-\ufe6f\uff00-\uff0f\ufff0-\uffff'
      '\U0001f000-\U0001faff]+', ' ', 'g');
    folded := regexp_replace(folded, ' ?([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u31ff\u3400-\u4dbf'
      '\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]+) ?', ' =\1 ', 'g');
    folded := replace(folded, '  ', ' ');
  end if;
  return ' ' || btrim(folded, ' ') || ' ';
end;
$$;

-- The pairs of neighbours in runs of characters, of which each begins with "=", and each run's last one with "=": a
-- single character is the beginning of a pair.
create function private.pairs_of(runs text) returns text[]
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  characters text[] := string_to_array(runs, null);
begin
  return array(select x.pair from (select unnest(characters) || unnest(characters[2:] || '='::text)) x (pair)
    where x.pair not like '=%');
end;
$$;

-- The stems of words: by their script or in English, and in the languages given, of Latin letters, with the language
-- before them.
create function private.stems_of(words text[], languages regdictionary[]) returns text[]
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return array(select (ts_lexize(case when ascii(w) < 880 then 'english_stem'::regdictionary
      when ascii(w) < 1024 then 'greek_stem'::regdictionary when ascii(w) < 1328 then 'russian_stem'::regdictionary
      when ascii(w) between 1536 and 1919 then 'arabic_stem'::regdictionary
      when ascii(w) between 2304 and 2431 then 'hindi_stem'::regdictionary end, w))[1] from unnest(words) w)
    || array(select '~' || left(l::text, 2) || (ts_lexize(l, w))[1]
      from unnest(languages) l cross join unnest(words) w where ascii(w) < 880);
end;
$$;

-- Languages of Latin letters that stems are kept of beside the English ones, where a message is in one of them.
create function private.stemmed_languages() returns regdictionary[] language sql immutable set search_path = '' as $$
  select '{german_stem,french_stem,spanish_stem,portuguese_stem,italian_stem,dutch_stem,swedish_stem,danish_stem,'
    'norwegian_stem,finnish_stem,hungarian_stem,turkish_stem}'::regdictionary[]
$$;

-- Where the entries of a workspace begin. Some share it, which costs them time and nothing else.
create function private.search_scope(wanted_workspace uuid) returns text
language sql immutable parallel safe set search_path = '' as $$
  select encode(substr(sha256(uuid_send(wanted_workspace)), 1, 3), 'base64')
$$;

-- The entries of a message in the index.
create function private.search_terms(wanted_workspace uuid, wanted_conversation uuid, content text) returns tsvector
language plpgsql immutable parallel safe cost 10000 set search_path = '' as $$
declare
  scope text := private.search_scope(wanted_workspace);
  words text[] := string_to_array(btrim(private.search_text(content), ' '), ' ');
  pairs text[];
  languages regdictionary[];
begin
  if octet_length(content) > length(content) then
    pairs := private.pairs_of(array_to_string(array(select w from unnest(words) w where w like '=%'), ''));
    words := array(select w from unnest(words) w where w not like '=%');
  end if;
  if (select count(*) from unnest(words[:40]) w where ts_lexize('english_stem', w) = '{}') < 8 then
    languages := array(select l from unnest(private.stemmed_languages()) l, unnest(words[:40]) w
      where ts_lexize(l, w) = '{}' group by l having count(*) > 1 order by count(*) desc, l limit 1);
  end if;
  -- By way of tsvector and text, each of them once and then each with its scope: quicker than row by row.
  words := tsvector_to_array(array_to_tsvector(
    array(select w from unnest(words) w where octet_length(w) between 1 and 100)));
  return array_to_tsvector(string_to_array(scope || '#' || left(wanted_conversation::text, 8)
    || replace(' ' || array_to_string(words || pairs || private.stems_of(words, languages), ' '), ' ', ' ' || scope),
    ' '));
end;
$$;
grant execute on function private.fold_text, private.search_text, private.pairs_of, private.stems_of,
  private.stemmed_languages, private.search_scope, private.search_terms to authenticated; -- who write messages

create index messages_search_idx on public.messages
  using gin (private.search_terms(workspace_id, conversation_id, content))
  with (fastupdate = off) -- what is pending would be read by everybody's search
  where deleted_at is null and content <> ''; -- an answer that is being made has no text yet
alter index public.messages_search_idx alter column 1 set statistics 0; -- they would take minutes and say nothing
create index conversations_shared_idx on public.conversations (workspace_id) where is_shared;

-- What a query asks for, piece by piece. entries: as a tsquery, "§" where the scope goes; needle: what search_text of a
-- hit has, where entries don't say it all; counted: what ranks it; pattern: what is marked in a folded text.
create function private.query_pieces(query text)
returns table (is_excluded boolean, is_common boolean, entries text, needle text, counted text, pattern text)
language plpgsql immutable set search_path = '' as $$
declare
  piece text[];
  words text[];
  stems text[];
  is_beginning boolean;
  letter text := '[a-z0-9\u00c0-\u1fff]';
begin
  for piece in -- the first 20 different ones
    select r.match from regexp_matches(translate(private.fold_text(query), '“”„', '"""'),
      '(-?)("[^"]*"?|[^ "\t\r\n]+)', 'g') with ordinality r (match, place)
    group by r.match order by min(r.place) limit 20
  loop
    words := string_to_array(nullif(btrim(private.search_text(piece[2]), ' '), ''), ' ');
    continue when words is null;
    is_excluded := piece[1] = '-';
    is_common := false;
    needle := null;
    counted := btrim(piece[2], '"* ');
    if cardinality(words) = 1 and piece[2] !~ '["*]' and words[1] not like '=%' then
      stems := array_remove(private.stems_of(words, private.stemmed_languages()), null);
      is_common := ts_lexize('english_stem', words[1]) = '{}';
      entries := (select string_agg('''§' || e || '''', ' | ') from unnest(words || stems) e);
      pattern := (select string_agg(distinct regexp_replace(s, '^~..', '') || letter || '{0,4}', '|')
        from unnest(stems) s where length(s) > 1);
      pattern := '(?:' || concat_ws('|', words[1], pattern) || ')(?!' || letter || ')';
      counted := case when starts_with(counted, stems[1]) then stems[1] else counted end;
    else
      is_beginning := piece[2] ~ '[*]"?$' and words[cardinality(words)] not like '=%';
      entries := (select string_agg(case when w not like '=%' then '''§' || w || ''''
          || case when is_beginning and n = cardinality(words) then ':*' else '' end
        when length(w) = 2 then '''§' || substr(w, 2) || ''':*'
        else (select string_agg('''§' || p || '''', ' & ') from unnest(private.pairs_of(w)) p where p not like '%=')
        end, ' & ') from unnest(words) with ordinality u (w, n));
      if cardinality(words) > 1 or words[1] like '=___%' or piece[2] like '"%' and words[1] not like '=%' then
        needle := ltrim(' ' || array_to_string(words, ' ') || ' ', case when words[1] like '=%' then ' =' else '' end);
        if is_beginning or words[cardinality(words)] like '=%' then
          needle := rtrim(needle, ' ');
        end if;
      end if;
      pattern := regexp_replace(ltrim(array_to_string(words, ' '), '='), ' =?',
          '[^a-z0-9\u00c0-\u1fff\u3040-\uffff]*', 'g')
        || case when is_beginning or words[cardinality(words)] like '=%' then '' else '(?!' || letter || ')' end;
    end if;
    if words[1] not like '=%' then
      pattern := '(?<!' || letter || ')' || pattern;
    end if;
    return next;
  end loop;
end;
$$;

create type public.snippet_piece as (text text, is_match boolean);
comment on type public.snippet_piece is
  'A piece of a text, as it was written but for the width of characters, and whether it is what a search looked for.';
create type public.message_hit as (
  message_id uuid, conversation_id uuid, conversation_title text, role public.message_role, created_at timestamptz,
  rank integer, snippet public.snippet_piece[], cursor text
);
comment on type public.message_hit is
  'A message that a search found. rank: how well it fits, to compare within one search. snippet: pieces of its text '
  'to be shown one after the other. cursor: after for the hits behind this one.';

-- A piece of a text around what the pattern finds first, cut where it finds something.
create function private.snippet(content text, pattern text) returns public.snippet_piece[]
language plpgsql immutable set search_path = '' as $$
declare
  shown text := normalize(content, NFC);
  folded text := private.fold_text(shown);
  begins integer;
  cuts integer[] := array[1];
  at integer;
begin
  if length(folded) <> length(shown) and lower(shown collate "C") !~ pattern then
    shown := normalize(shown, NFKC); -- what was found has another width than its fold, so this one is shown
    folded := private.fold_text(shown);
  end if;
  if length(folded) <> length(shown) then
    folded := lower(shown collate "C");
  end if;
  begins := greatest(regexp_instr(folded, pattern) - 60, 1);
  shown := substr(shown, begins, 240);
  folded := substr(folded, begins, 240);
  loop
    at := regexp_instr(folded, pattern, cuts[cardinality(cuts)]);
    exit when coalesce(at, 0) = 0;
    cuts := cuts || at || regexp_instr(folded, pattern, at, 1, 1);
  end loop;
  cuts := cuts || length(shown) + 1;
  return array(select (substr(shown, c.at, c.until - c.at), c.n % 2 = 0)::public.snippet_piece
    from unnest(cuts, cuts[2:]) with ordinality c (at, until, n) where c.until > c.at order by c.n);
end;
$$;

-- How well a message fits: each of the words counts by how often it is there for the length, and once more all of them
-- as they were typed. null where it lacks what has to be there or has what must not.
create function private.rank_of(content text, query text, counted text[], needles text[], excluded text[])
returns bigint language plpgsql stable set search_path = '' as $$
declare
  words text;
  folded text := lower(left(content, 50000) collate "C");
  times float8;
  rank float8 := case when strpos(folded, btrim(lower(query collate "C"), ' "*')) > 0 then 500 else 0 end;
  item text;
begin
  if needles <> '{}' or excluded <> '{}' then
    words := private.search_text(content);
    if exists (select from unnest(needles) n where strpos(words, n) = 0)
      or exists (select from unnest(excluded) n where strpos(words, n) > 0) then
      return null;
    end if;
  end if;
  foreach item in array counted loop
    times := (octet_length(folded) - octet_length(replace(folded, item, ''))) / greatest(octet_length(item), 1);
    rank := rank + 1000 * times / (times + 1 + octet_length(folded) / 2000.0);
  end loop;
  return rank::bigint;
end;
$$;

-- The caller's rights are looked at once, in the conversations that they can read. The newest 500 hits are ranked and
-- given, then the 500 before them, and so on, which bounds what is read and keeps pages as they are when messages come.
create function private.search_messages(
  query text, wanted_conversation uuid, wanted_workspace uuid, wanted_role public.message_role, since timestamptz,
  until timestamptz, wanted_archived boolean, max_rows integer, after text
) returns setof public.message_hit
language plpgsql stable security definer
set search_path = '' set work_mem = '32MB' set jit = off
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  caller uuid := private.caller_id();
  mine uuid[] := array(select private.my_workspace_ids());
  asked record;
  terms tsquery;
  most bigint := 9223372036854775807;
  -- Below and from which sequence_number is ranked; rank, time and number of the hit before.
  place bigint[] := array[most, 0, most, most, most];
  ids uuid[];
  ranks integer[];
  found_rows integer;
  newest bigint;
  oldest bigint;
begin
  if max_rows between 1 and 100 is not true then
    perform private.raise_error('invalid_request', 'max_rows must be between 1 and 100.');
  elsif length(query) > 500 then
    perform private.raise_error('invalid_request', 'query must have at most 500 characters.');
  elsif after !~ '^\d{1,18}(\.\d{1,18}){4}$' then
    perform private.raise_error('invalid_request', 'after must be the cursor of a hit.');
  elsif after is not null then
    place := string_to_array(after, '.');
  end if;

  select string_agg('(' || p.entries || ')', ' & ') filter (where not p.is_excluded)
      || coalesce(string_agg(' & !(' || p.entries || ')', '') filter (where p.is_excluded and p.needle is null), '')
      as entries,
    coalesce(array_agg(p.needle) filter (where not p.is_excluded and p.needle is not null), '{}') as needles,
    coalesce(array_agg(p.needle) filter (where p.is_excluded and p.needle is not null), '{}') as excluded,
    array_agg(p.counted) filter (where not p.is_excluded) as counted,
    string_agg(p.pattern, '|') filter (where not p.is_excluded) as pattern
  into asked from (select q.*, bool_and(q.is_common) filter (where not q.is_excluded) over () as all_common
    from private.query_pieces(query) q) p where p.is_excluded or p.all_common or not p.is_common;

  -- In their own workspace everything is the caller's; elsewhere conversations are named, unless they are very many.
  with readable as (
    select c.id, c.workspace_id from public.conversations c where c.user_id = caller and c.workspace_id = any (mine)
      and c.deleted_at is null and (c.workspace_id <> caller or c.id = wanted_conversation)
    union
    select c.id, c.workspace_id from public.conversations c where c.is_shared and c.workspace_id = any (mine)
      and c.deleted_at is null
  ), scopes as (
    select r.workspace_id, array_agg(r.id) as conversations from readable r
    where wanted_conversation is null or r.id = wanted_conversation group by r.workspace_id
    union all select caller, '{}' where wanted_conversation is null
  )
  select string_agg(replace('(' || asked.entries || case when cardinality(s.conversations) between 1 and 1000
      then ' & (' || (select string_agg('''§#' || left(c::text, 8) || '''', ' | ') from unnest(s.conversations) c)
        || ')' else '' end || ')', '§', private.search_scope(s.workspace_id)), ' | ')::tsquery
  into terms from scopes s where wanted_workspace is null or s.workspace_id = wanted_workspace;

  while terms is not null and max_rows > 0 loop
    with candidates as materialized ( -- no filter here, lest the planner takes its index and computes entries
      select m.id, m.conversation_id, m.sequence_number, m.role, m.created_at from public.messages m
      where private.search_terms(m.workspace_id, m.conversation_id, m.content) @@ terms and m.deleted_at is null
        and m.content <> ''
    ), hits as (
      select x.id from candidates x join public.conversations c on c.id = x.conversation_id
      where c.workspace_id = any (mine) and c.deleted_at is null and (c.user_id = caller or c.is_shared)
        and (wanted_conversation is null or c.id = wanted_conversation)
        and (wanted_workspace is null or c.workspace_id = wanted_workspace)
        and (wanted_archived is null or c.is_archived = wanted_archived)
        and x.sequence_number < place[1] and x.sequence_number >= place[2]
        and (wanted_role is null or x.role = wanted_role)
        and x.created_at >= coalesce(since, '-infinity') and x.created_at < coalesce(until, 'infinity')
      order by x.sequence_number desc limit 500
    ), ranked as (
      select m.id, m.sequence_number, (extract(epoch from m.created_at) * 1000000)::bigint as at,
        private.rank_of(m.content, query, asked.counted, asked.needles, asked.excluded) as rank
      from hits h join public.messages m on m.id = h.id
    ), behind as (
      select r.* from ranked r where (r.rank, r.at, r.sequence_number) < (place[3], place[4], place[5])
      order by r.rank desc, r.at desc, r.sequence_number desc limit max_rows
    )
    select count(*), max(r.sequence_number), min(r.sequence_number),
      array(select b.id from behind b order by b.rank desc, b.at desc, b.sequence_number desc),
      array(select b.rank from behind b order by b.rank desc, b.at desc, b.sequence_number desc)
    into found_rows, newest, oldest, ids, ranks from ranked r;

    place[1] := least(place[1], newest + 1);
    place[2] := case when place[2] > 0 then place[2] when found_rows = 500 then oldest else 0 end;
    return query select m.id, m.conversation_id, c.title::text, m.role, m.created_at, h.rank,
        private.snippet(left(m.content, 50000), asked.pattern), concat_ws('.', place[1], place[2], h.rank,
          (extract(epoch from m.created_at) * 1000000)::bigint, m.sequence_number)
      from unnest(ids, ranks) with ordinality h (id, rank, n)
      join public.messages m on m.id = h.id join public.conversations c on c.id = m.conversation_id order by h.n;
    max_rows := max_rows - cardinality(ids);
    exit when place[2] = 0;
    place := array[place[2], 0, most, most, most];
  end loop;
end;
$$;
grant execute on function private.search_messages to authenticated;

create function public.search_messages(
  query text, conversation_id uuid default null, workspace_id uuid default null,
  role public.message_role default null, since timestamptz default null, until timestamptz default null,
  is_archived boolean default null, max_rows integer default 20, after text default null
) returns setof public.message_hit language sql stable set search_path = '' as $$
  select * from private.search_messages(query, conversation_id, workspace_id, role, since, until, is_archived, max_rows,
    after)
$$;
comment on function public.search_messages is
  'Messages of one''s own and shared conversations that have all words of the query: "a phrase", -without, begin*. '
  'Best first, at most 100 at once; after: the cursor of the last hit of the page before. Filters: conversation, '
  'workspace, role, a span of time (since included, until not), archived or not.';
grant execute on function public.search_messages to authenticated;
