/** Spread of one row's samples, in the samples' unit. */
export interface Spread {
  runs: number;
  median: number;
  min: number;
  max: number;
  /** Median absolute deviation. */
  mad: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Throws RangeError without samples. */
export function spread(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError("no samples");
  const mid = median(values);
  return {
    runs: values.length,
    median: mid,
    min: Math.min(...values),
    max: Math.max(...values),
    mad: median(values.map((value) => Math.abs(value - mid))),
  };
}
