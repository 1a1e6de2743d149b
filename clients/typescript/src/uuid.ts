// UUIDs of version 7 (RFC 9562): they begin with the time, so ids made one after another sort in that order.

const HEX = Array.from({ length: 256 }, (_, byte) => (byte + 256).toString(16).slice(1));
const RANDOM_BYTES = 8;

/** Returns a function that makes UUIDs, each greater than the one before. Its argument is the time in milliseconds. */
export function uuidMaker(fillRandom: (bytes: Uint8Array) => void): (now: number) => string {
  // Random bytes are fetched for many ids at once: each fetch costs more than an id.
  const pool = new Uint8Array(RANDOM_BYTES * 256);
  let used = pool.length;
  let time = 0;
  let prefix = "";
  let counter = 0;
  const random = () => HEX[pool[used++] as number] as string;

  return (now) => {
    if (used === pool.length) {
      fillRandom(pool);
      used = 0;
    }
    // With more than 4,096 ids in a millisecond, or a clock that was set back, the ids run ahead of the clock.
    if (now > time || ++counter > 0xfff) {
      time = Math.max(now, time + 1);
      counter = 0;
      const digits = time.toString(16).padStart(12, "0");
      prefix = `${digits.slice(0, 8)}-${digits.slice(8)}-`;
    }
    const variant = HEX[0x80 | ((pool[used++] as number) & 0x3f)] as string;
    return (
      prefix + (HEX[0x70 | (counter >>> 8)] as string) + (HEX[counter & 0xff] as string) + "-" + variant + random() + "-" +
      random() + random() + random() + random() + random() + random()
    );
  };
}
