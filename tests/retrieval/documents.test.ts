/** Documents as a frontend has them: supabase-js, as each actor. */
import { expect, test } from 'vitest';
import { join, newTeam } from '../conversations/helpers.ts';
import { anonClient, newUser, serviceClient, sql, type TestUser } from '../support/stack.ts';

const CITIES =
  'Ashford Brockton Calder Dunmore Elswick Farley Gosforth Hexham Ilkley Jarrow Kelso Ludlow Morpeth Newark Oakham Penrith Quorn Redcar Selby Thirsk Ulverston Ventnor Whitby Yarm Zeal'.split(
    ' ',
  );
const WORKS =
  'bridge tower library mill chapel harbour theatre school market fountain gate museum granary lighthouse tunnel hospital prison brewery windmill aqueduct'.split(
    ' ',
  );
const 城市 =
  '苏州 杭州 南京 成都 西安 武汉 长沙 广州 昆明 大理 桂林 洛阳 开封 扬州 绍兴 泉州 青岛 济南 太原 沈阳 哈尔滨 长春 兰州 敦煌 拉萨'.split(
    ' ',
  );
const 建筑 =
  '石桥 钟楼 图书馆 水磨 寺庙 码头 戏院 学堂 集市 喷泉 城门 博物馆 粮仓 灯塔 隧道 医院 监狱 酒坊 风车 水渠'.split(' ');

/** The titles that a person's search finds, the best first. */
async function found(user: TestUser, workspace_id: string, query: string): Promise<string[]> {
  const { data, error } = await user.client.rpc('search_passages', { workspace_id, query, k: 3 });
  if (error) throw error;
  return data.map(({ title }) => title ?? '');
}

test('questions in English and Chinese find the right document of 1,000', async () => {
  const user = await newUser();
  const english = CITIES.flatMap((city, c) =>
    WORKS.map((work, w) => ({
      title: `${work} of ${city}`,
      content: `In ${city} there is a ${work} that masons from the hills built over ${c + w + 2} years, and people like to visit it.`,
    })),
  );
  const chinese = 城市.flatMap((city, c) =>
    建筑.map((work, w) => ({
      title: `${city}${work}`,
      content: `${city}有一座${work}，是山里的石匠用了${c + w + 2}年建造的，人们喜欢去参观。`,
    })),
  );
  await sql(
    `select public.load_document(d ->> 'title', d ->> 'content', workspace_id => $1) from jsonb_array_elements($2::jsonb) d`,
    [user.id, JSON.stringify([...english, ...chinese])],
  );
  expect(
    (await sql('select count(*)::integer as count from public.rag_chunks where workspace_id = $1', [user.id]))[0],
  ).toEqual({ count: 1_000 });
  for (let tries = 0; tries < 25; tries += 1) {
    const [city, work] = [CITIES[tries], WORKS[(tries * 7) % WORKS.length]];
    expect((await found(user, user.id, `Who were the builders of the ${work} in ${city}?`))[0]).toBe(
      `${work} of ${city}`,
    );
    const [市, 物] = [城市[tries], 建筑[(tries * 7) % 建筑.length]];
    expect((await found(user, user.id, `请问${市}的${物}是谁建的？`))[0]).toBe(`${市}${物}`);
  }
});

test('a team reads what its admins load, and a stranger sees nothing of it', async () => {
  const [owner, admin, member, stranger] = await Promise.all([newUser(), newUser(), newUser(), newUser()]);
  const team = await newTeam(owner);
  await join(team, admin, 'admin');
  await join(team, member);
  const load = (user: Pick<TestUser, 'client'>, content: string) =>
    user.client.rpc('load_document', { title: 'A title', content, workspace_id: team });
  expect(await load(admin, 'The harbour is deep.')).toMatchObject({
    data: { version: 1, chunk_count: 1, is_changed: true },
  });
  expect(await load(owner, 'The harbour is deep.')).toMatchObject({ data: { version: 1, is_changed: false } });
  expect(await load({ client: serviceClient() }, 'The harbour is wide.')).toMatchObject({
    data: { version: 2, is_changed: true },
  });
  expect(await load(member, 'x')).toMatchObject({ status: 403, error: { message: 'forbidden' } });
  expect(await load(stranger, 'x')).toMatchObject({ status: 404, error: { message: 'not_found' } });
  expect(await load({ client: anonClient() }, 'x')).toMatchObject({ status: 401, error: { code: '42501' } });
  expect(await load(owner, ' \n')).toMatchObject({ status: 400, error: { message: 'invalid_request' } });
  expect(await load(owner, 'x'.repeat(1_000_001))).toMatchObject({
    status: 400,
    error: { message: 'invalid_request' },
  });

  expect(await found(member, team, 'harbour')).toEqual(['A title']);
  expect(await stranger.client.rpc('search_passages', { workspace_id: team, query: 'harbour' })).toMatchObject({
    status: 404,
  });
  const { data: document } = await member.client.from('rag_documents').select('id, rag_chunks (id)').single();
  expect(document?.rag_chunks).toHaveLength(1);
  for (const of of [
    stranger.client.from('rag_documents').select('*, rag_chunks (*)'),
    stranger.client.from('rag_chunks').select(),
  ])
    expect((await of).data).toEqual([]);
  const id = document?.id ?? '';
  expect(await stranger.client.rpc('delete_document', { document_id: id })).toMatchObject({ status: 404 });
  expect(await member.client.rpc('delete_document', { document_id: id })).toMatchObject({ status: 403 });
  expect((await admin.client.rpc('delete_document', { document_id: id })).error).toBeNull();
  expect(await found(member, team, 'harbour')).toEqual([]);
});
