begin;
select plan(17);
create function pg_temp.cut(content text) returns table (place bigint, starts integer, ends integer, piece text) language sql as $$
  select row_number() over (order by start_character), start_character, end_character, content from private.cut_document(cut.content)
$$;
create function pg_temp.sentences(number integer, of_each text default ' ') returns text language sql as $$
  select string_agg('Sentence number ' || n || ' says little.', of_each order by n) from generate_series(1, number) n
$$;

select results_eq($$ select starts, ends, piece from pg_temp.cut(e' \n Short. \n') $$, $$ values (3, 9, 'Short.') $$, 'a short text is one passage, without the space around it');
select is_empty($$ select * from pg_temp.cut(e' \n\u3000 ') $$, 'nothing but space is none');
select is_empty($$ select * from pg_temp.cut('') $$, 'nor is nothing');
select is_empty($$ select * from pg_temp.cut(null) $$, 'nor null');
select is((select max(length(piece)) <= 1200 and count(*) between 7 and 9 from pg_temp.cut(pg_temp.sentences(250))), true, 'a passage has 1,200 characters at most');
select is_empty($$ select * from pg_temp.cut(pg_temp.sentences(250)) where piece !~ '^Sentence .*little\.$' $$, 'it begins and ends with a sentence');
select is_empty($$ select * from (select *, lead(starts) over (order by place) as next from pg_temp.cut(pg_temp.sentences(250))) x where next not between ends - 200 and ends - 20 $$,
  'and repeats what the one before it ended with');
select is_empty($$ select * from pg_temp.cut(pg_temp.sentences(250)) where piece <> substr(pg_temp.sentences(250), starts + 1, ends - starts) $$, 'its range is where it stands');
select is((select ends from pg_temp.cut(pg_temp.sentences(25) || e'\n\n' || pg_temp.sentences(100)) where place = 1), length(pg_temp.sentences(25)), 'a paragraph''s end is better than a sentence''s');
select is((select ends from pg_temp.cut(pg_temp.sentences(5) || e'\n\n' || pg_temp.sentences(100)) where place = 1) > 600, true, 'but no passage is cut to less than half');
select is_empty($$ select * from pg_temp.cut(repeat('这是一个很短的句子。', 400)) where piece !~ '^这.*。$' $$, 'Chinese sentences end as well');
select is_empty($$ select * from pg_temp.cut(repeat('word and ', 1000)) where piece ~ '^(ord|rd|d|nd) ' or piece !~ '(word|and)$' $$, 'without sentences, words are kept whole');
select results_eq($$ select starts, ends from pg_temp.cut(repeat('x', 2500)) $$, $$ values (0, 1200), (1000, 2200), (2000, 2500) $$, 'without words, it is cut where it has to be');
select results_eq($$ select starts, ends from pg_temp.cut(repeat('👩🏽', 700)) $$, $$ values (0, 1200), (1000, 1400) $$, 'characters are counted, not bytes');
select is((select string_agg(substr(piece, 1 + greatest(0, last - starts)), '' order by place)
  from (select *, coalesce(lag(ends) over (order by place), 0) as last from pg_temp.cut(repeat('x', 99999))) x), repeat('x', 99999), 'nothing of a long text is lost');
select is((select count(*)::integer from pg_temp.cut(repeat(' ', 5000) || 'end')), 1, 'nor behind much space');
select is((select count(*)::integer from pg_temp.cut(repeat(e'a\n\n', 400) || repeat('?!.', 2000) || repeat('。', 3000))) > 5, true, 'and what is odd comes to an end');
select * from finish();
rollback;
