/** How much the generated tests try: a little in `npm test`, more in CI and by hand. */

/** `count` times the number in TEST_RUNS, which is 1 unless set. CI sets 4; `TEST_RUNS=20 npm test -- <word>` digs deep. */
export const runs = (count: number): number => Math.ceil(count * Number(process.env.TEST_RUNS ?? 1));
