begin;
select plan(79);
select tests.create_user('ann');
insert into public.conversations (id, workspace_id, user_id, title) values (tests.id('c'), tests.id('ann'), tests.id('ann'), 'A title');
insert into public.messages (id, conversation_id, content) select tests.id(name), tests.id('c'), content from (values
  ('english', 'We were running many Databases, at the café. Hello, World!'),
  ('chinese', '我的数据库很慢，用户说。'),
  ('scattered', '据库与数据'),
  ('katakana', '日本語のデータ・ベースを使う'),
  ('hiragana', 'なかなおり'),
  ('korean', '한국어를 배워요'),
  ('rain', '今日は雨'),
  ('rainy', '雨が降る'),
  ('mixed', '最近gen-itgc后50条记录 ＦＵＬＬ'),
  ('narrow', 'ﾊﾟｿｺﾝで書く½'),
  ('german', 'Die Häuser sind nicht weit von der Straße, und das ist gut'),
  ('french', 'Nous avons mangé dans les grandes maisons de la ville et nous étions contents'),
  ('spanish', 'Las canciones que cantamos en la fiesta no son de los niños'),
  ('russian', 'Новые КНИГИ лежат на столе, и ёлка'),
  ('greek', 'Ο ΚΟΣΜΟΣ είναι μεγάλος'),
  ('thai', 'ฐานข้อมูลช้ามาก'),
  ('snake', 'select user_statistics from https://example.test/path?x=1'),
  ('band', 'The Who were here'),
  ('markup', 'is <script>alert(1)</script> an attack?')
) m (name, content);
insert into public.messages (id, conversation_id, role, content) select tests.id('answer ' || n), tests.id('c'), 'assistant', 'a filler about nothing ' || n from generate_series(1, 3) n;

-- Names of the messages that are found, in the order of the alphabet.
create function pg_temp.found(query text) returns text language sql as $$
  select string_agg(n.name, ' ' order by n.name collate "C")
  from public.search_messages(query) h join unnest('{english,chinese,scattered,katakana,hiragana,korean,rain,rainy,mixed,german,french,spanish,russian,greek,thai,snake,band,markup}'::text[]) n (name)
    on tests.id(n.name) = h.message_id
$$;
-- What is shown of hits, with marks.
create function pg_temp.shown(query text) returns text language sql as $$
  select string_agg(case when is_match then '[' || text || ']' else text end, '|') from public.search_messages(query), unnest(snippet)
$$;
grant execute on function pg_temp.found, pg_temp.shown to public;
select tests.sign_in('ann');

select is(pg_temp.found(query), found, format('%s: %s', query, words)) from (values
  ('database', 'english', 'a word by its stem'),
  ('RUN', 'english', 'in any case'),
  ('runs many', 'english', 'all words'),
  ('running slowly', null, 'not some of them'),
  ('cafe', 'english', 'accents don''t count'),
  ('CAFÉ', 'english', 'on either side'),
  ('data*', 'english', 'a beginning'),
  ('data', null, 'which has to be asked for'),
  ('abases', null, 'not the end of a word'),
  ('"hello world"', 'english', 'a phrase'),
  ('"World Hello"', null, 'in order'),
  ('“hello world”', 'english', 'in any quotes'),
  ('"hello wor"', null, 'of whole words'),
  ('"hello wor*"', 'english', 'or a last one''s beginning'),
  ('"run"', null, 'quoted, a word is as it is'),
  ('"running"', 'english', 'as it is'),
  ('running -hello', null, 'without a word'),
  ('running -"many hello"', 'english', 'without a phrase'),
  ('running -"many databases"', null, 'that is there'),
  ('the running', 'english', 'common words don''t count'),
  ('the who', 'band', 'unless there are no others'),
  ('用户', 'chinese', 'two characters'),
  ('数据', 'chinese scattered', 'wherever they are'),
  ('数据库', 'chinese', 'three, one after the other'),
  ('数据库很慢', 'chinese', 'more'),
  ('据库', 'chinese scattered', 'from within'),
  ('库数据', null, 'in order'),
  ('数据慢', null, 'without a gap'),
  ('很慢用户', null, 'not across a comma'),
  ('数据库 用户', 'chinese', 'several words'),
  ('数据库 -用户', null, 'without one'),
  ('数据库 -用数', 'chinese', 'that is there'),
  ('慢', 'chinese', 'one character at an end'),
  ('我', 'chinese', 'at a beginning'),
  ('据', 'chinese scattered', 'within'),
  ('データ', 'katakana', 'katakana'),
  ('ﾃﾞｰﾀ', 'katakana', 'of half width'),
  ('日本', 'katakana', 'beside it'),
  ('なか', 'hiragana', 'hiragana'),
  ('かな', 'hiragana', 'that is there'),
  ('おな', null, 'in order'),
  ('雨', 'rain rainy', 'a single character'),
  ('한국', 'korean', 'the beginning of a Korean word'),
  ('배워요', 'korean', 'a Korean word'),
  ('국한', null, 'in order'),
  ('ข้อมูล', 'thai', 'Thai'),
  ('gen-itgc后50条', 'mixed', 'scripts in one word'),
  ('后50条', 'mixed', 'a part of it'),
  ('gen-itgc后51条', null, 'exactly'),
  ('itgc 记录', 'mixed', 'its words'),
  ('full', 'mixed', 'letters of full width'),
  ('ｆｕｌｌ', 'mixed', 'on either side'),
  ('Haus', 'german', 'a German word by its stem'),
  ('HÄUSERN', 'german', 'in any form'),
  ('Strasse', 'german', 'and spelling'),
  ('maison', 'french', 'French'),
  ('manger', 'french', 'by its verb'),
  ('canción', 'spanish', 'Spanish'),
  ('книга', 'russian', 'Russian'),
  ('новых', 'russian', 'by its endings'),
  ('елка', 'russian', 'ё is е'),
  ('κόσμος', 'greek', 'Greek'),
  ('user_statistics', 'snake', 'a name in a program'),
  ('statistics', 'snake', 'a part of it'),
  ('example.test/path', 'snake', 'an address'),
  ('', null, 'nothing'),
  (' ,;! "" - * ', null, 'no word at all'),
  ('-running', null, 'no word to look for'),
  (null, null, 'no query'),
  ($q$ ' \ & | ! ( ) :* <-> % _ § '' running $q$, 'english', 'what means something elsewhere')
) q (query, found, words);

-- Marks.
select is(pg_temp.shown('database'), 'We were running many |[Databases]|, at the café. Hello, World!', 'what was found is marked in the text');
select is(pg_temp.shown('"hello world" cafe'), 'We were running many Databases, at the |[café]|. |[Hello, World]|!', 'each of it');
select is(pg_temp.shown('数据库 用户'), '我的|[数据库]|很慢，|[用户]|说。', 'in every script');
select is(pg_temp.shown('full'), '最近gen-itgc后50条记录 |[ＦＵＬＬ]', 'of full width');
select is(pg_temp.shown('パソコン'), '[パソコン]|で書く1⁄2', 'of half width');
select is(pg_temp.shown('書く'), 'ﾊﾟｿｺﾝで|[書く]|½', 'which is kept where nothing of it was found');
select is(pg_temp.shown('script'), 'is <|[script]|>alert(1)</|[script]|> an attack?', 'the text is as it stands');
select is((select concat_ws(' ', conversation_title, role, cursor ~ '^\d+(\.\d+){4}$') from public.search_messages('database')), 'A title user t', 'and where it was found');

-- Common characters are folded by a shorter way, which comes to the same as the way beside an accent.
reset role;
select is((select string_agg(to_hex(c), ' ') from (values (1, 767), (880, 1327), (7680, 8447), (12288, 13311), (19967, 19969),
    (40958, 40960), (44031, 44033), (55202, 55204), (65280, 65519)) r (lowest, highest), generate_series(lowest, highest) c
  where private.fold_text(chr(c)) || '|e' <> private.fold_text(chr(c) || '|é')), null, 'each character is folded as beside others');
select * from finish();
rollback;
