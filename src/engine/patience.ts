/** The promise's value, or `late` when it takes longer than `ms` (Infinity: waits for ever). */
export async function within<T, L>(promise: Promise<T>, ms: number, late: L): Promise<T | L> {
  if (ms === Number.POSITIVE_INFINITY) return await promise;
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<L>((resolve) => {
    timer = setTimeout(resolve, Math.min(ms, 0x7fffffff), late);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
