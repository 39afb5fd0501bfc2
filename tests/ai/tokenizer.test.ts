/** Counting tokens: within a tenth of GPT-4o's encoding in any language, in a bounded time, with a table that is no part of the start. */
import { readFileSync } from 'node:fs';
import { countTokens as countExactly } from 'gpt-tokenizer/encoding/o200k_base';
import { describe, expect, test } from 'vitest';
import { makeTokenTable, TABLE_FILE } from '../../scripts/testing/token-table.ts';
import { countTokens } from '../../supabase/functions/ai/tokenizer.ts';

const TEXTS: [string, string][] = [
  [
    'English',
    'All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience and should act towards one another in a spirit of brotherhood. Everyone has the right to life, liberty and security of person. We measured the speed of the service twice, and both times the slowest requests came from the same customer.',
  ],
  [
    'German',
    'Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt und sollen einander im Geiste der Brüderlichkeit begegnen. Die Geschwindigkeitsbegrenzung wurde zweimal gemessen, und beide Male kamen die langsamsten Anfragen vom selben Kunden.',
  ],
  [
    'French',
    'Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et de conscience et doivent agir les uns envers les autres dans un esprit de fraternité. Nous avons mesuré deux fois la vitesse du service, et les requêtes les plus lentes venaient du même client.',
  ],
  [
    'Spanish',
    'Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de razón y conciencia, deben comportarse fraternalmente los unos con los otros. Medimos dos veces la velocidad del servicio y las peticiones más lentas venían siempre del mismo cliente.',
  ],
  [
    'Polish',
    'Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni obdarzeni rozumem i sumieniem i powinni postępować wobec innych w duchu braterstwa. Zmierzyliśmy szybkość usługi dwukrotnie i za każdym razem najwolniejsze zapytania pochodziły od tego samego klienta.',
  ],
  [
    'Turkish',
    'Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana sahiptirler ve birbirlerine karşı kardeşlik zihniyeti ile hareket etmelidirler. Hizmetin hızını iki kez ölçtük ve her seferinde en yavaş istekler aynı müşteriden geldi.',
  ],
  [
    'Russian',
    'Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью и должны поступать в отношении друг друга в духе братства. Мы дважды измерили скорость службы, и оба раза самые медленные запросы приходили от одного и того же клиента.',
  ],
  [
    'Arabic',
    'يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. وقد وهبوا عقلا وضميرا وعليهم أن يعامل بعضهم بعضا بروح الإخاء. قسنا سرعة الخدمة مرتين، وفي كل مرة كانت أبطأ الطلبات من العميل نفسه.',
  ],
  [
    'Hindi',
    'सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है। उन्हें बुद्धि और अन्तरात्मा की देन प्राप्त है और परस्पर उन्हें भाईचारे के भाव से बर्ताव करना चाहिए।',
  ],
  [
    'Thai',
    'มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม และควรปฏิบัติต่อกันด้วยเจตนารมณ์แห่งภราดรภาพ เราวัดความเร็วของบริการสองครั้ง และคำขอที่ช้าที่สุดมาจากลูกค้ารายเดียวกัน',
  ],
  [
    'Chinese',
    '人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。我们两次测量了服务的速度,每次最慢的请求都来自同一个客户。',
  ],
  [
    'Japanese',
    'すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。人間は、理性と良心とを授けられており、互いに同胞の精神をもって行動しなければならない。サービスの速度を二度測定したところ、最も遅いリクエストは同じ顧客からのものだった。',
  ],
  [
    'Korean',
    '모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 천부적으로 이성과 양심을 부여받았으며 서로 형제애의 정신으로 행동하여야 한다. 우리는 서비스의 속도를 두 번 측정했고 가장 느린 요청은 모두 같은 고객에게서 왔다.',
  ],
  ['TypeScript', readFileSync(new URL(import.meta.url), 'utf8').slice(-3_000)],
  ['SQL', readFileSync(new URL('../../supabase/seed.sql', import.meta.url), 'utf8')],
  ['JSON', JSON.stringify(JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')), null, 4)],
  ['UUIDs', Array.from({ length: 20 }, (_, index) => `0f8fad5b-d9cb-469f-a165-7086${index}728950e`).join(' ')],
];

const exactly = (text: string) => countExactly(text, { allowedSpecial: new Set(), disallowedSpecial: new Set() });

test.each(TEXTS)('%s is counted within a tenth', async (_name, text) => {
  for (const counted of [text, text.slice(0, 60), `${text} `.repeat(Math.ceil(20_000 / text.length))]) {
    const { tokens, isCounted } = await countTokens([counted]);
    expect(isCounted).toBe(true);
    expect(Math.abs(tokens / exactly(counted) - 1)).toBeLessThan(0.1);
  }
});

describe('a long text', () => {
  test.each(TEXTS)('(%s) is estimated within a tenth, from stretches of it', async (_name, text) => {
    const long = text.repeat(Math.ceil(400_000 / text.length));
    const { tokens, isCounted } = await countTokens([long.slice(0, 200_000), long.slice(200_000)]);
    expect(isCounted).toBe(false);
    const expected = exactly(text.repeat(20)) * (long.length / (text.length * 20));
    expect(Math.abs(tokens / expected - 1)).toBeLessThan(0.1);
  });

  test('is not put together for it, and counts the same in any pieces', async () => {
    const long = TEXTS.map(([, text]) => text.repeat(Math.ceil(20_000 / text.length))).join('');
    const whole = await countTokens([long]);
    for (const size of [7, 900, 30_000]) {
      const pieces = Array.from({ length: Math.ceil(long.length / size) }, (_, index) =>
        long.slice(index * size, (index + 1) * size),
      );
      pieces.join = () => {
        throw new Error('all of it was put together');
      };
      expect(await countTokens(['', ...pieces.slice(0, 1)])).toMatchObject({ isCounted: true });
      expect(await countTokens(pieces)).toEqual(whole);
    }
  });

  test('of several languages counts each by its share', async () => {
    const parts = TEXTS.map(([, text]) => text.repeat(Math.ceil(20_000 / text.length)));
    const expected = parts.reduce((sum, part) => sum + exactly(part), 0);
    const { tokens } = await countTokens(parts);
    expect(Math.abs(tokens / expected - 1)).toBeLessThan(0.1);
  });
});

test.each([
  ['', 0],
  ['Hello', 1],
  ['hello world', 2],
  ['a'.repeat(40), 5],
  [' '.repeat(80), 1],
  ['\u{1F600}', 1],
  ['\uD800', 3],
])('counts %j', async (text, tokens) => {
  expect(await countTokens([text])).toEqual({ tokens, isCounted: true });
});

test('the table is what its script makes of the encoding', () => {
  expect(readFileSync(TABLE_FILE, 'utf8') === makeTokenTable()).toBe(true);
});
