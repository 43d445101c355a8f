/** How hard a test tries: a little in CI, much where THOROUGH asks for it (as tests/effort.py). */
export const THOROUGH = Boolean(process.env.THOROUGH);

export const cases = (few: number, many: number): number => (THOROUGH ? many : few);
