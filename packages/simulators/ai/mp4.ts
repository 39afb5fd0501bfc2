/**
 * A small real video, made here byte by byte: H.264 in an MP4 file, 16 by 16 pixels, one uncompressed picture a second, in
 * turn light and dark. Any player shows it.
 */

const WIDTH = 16;
const HEIGHT = 16;
const TIMESCALE = 1000;
const IDENTITY_MATRIX = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000];

/** The file of a video of so many seconds. */
export function makeMp4(seconds: number): Buffer {
  const count = Math.max(1, Math.round(seconds));
  const pictures = [picture(0, 0x30), picture(1, 0xc0)];
  const samples = Array.from({ length: count }, (_, index) => pictures[index % 2] ?? Buffer.alloc(0));
  const type = box('ftyp', 'isom', u32(0x200), 'isom', 'iso2', 'avc1', 'mp41');
  // The movie's box has one length wherever the pictures begin, so it can be asked for before that is known.
  const start = type.length + movie(samples, 0).length + 8;
  return Buffer.concat([type, movie(samples, start), box('mdat', ...samples)]);
}

/** A box that players skip, to make a file as large as wanted; its `size` bytes of content are to follow. */
export function paddingHeader(size: number): Buffer {
  return Buffer.concat([u32(size + 8), Buffer.from('free')]);
}

function movie(samples: Buffer[], start: number): Buffer {
  const duration = samples.length * TIMESCALE;
  const head = [u32(0, 0, 0, TIMESCALE, duration, 0x10000), u16(0x100, 0), u32(0, 0, ...IDENTITY_MATRIX)];
  return box('moov', box('mvhd', ...head, u32(0, 0, 0, 0, 0, 0, 2)), track(samples, start, duration));
}

function track(samples: Buffer[], start: number, duration: number): Buffer {
  const header = box(
    'tkhd',
    u32(3, 0, 0, 1, 0, duration, 0, 0),
    u16(0, 0, 0, 0),
    u32(...IDENTITY_MATRIX, WIDTH << 16, HEIGHT << 16),
  );
  const media = [
    box('mdhd', u32(0, 0, 0, TIMESCALE, duration), u16(0x55c4, 0)),
    box('hdlr', u32(0, 0), 'vide', u32(0, 0, 0), 'pictures\0'),
    box(
      'minf',
      box('vmhd', u32(1), u16(0, 0, 0, 0)),
      box('dinf', box('dref', u32(0, 1), box('url ', u32(1)))),
      sampleTable(samples, start),
    ),
  ];
  return box('trak', header, box('mdia', ...media));
}

/** Every picture stands alone, lasts a second, and all of them lie together in one chunk. */
function sampleTable(samples: Buffer[], start: number): Buffer {
  return box(
    'stbl',
    box('stsd', u32(0, 1), sampleEntry()),
    box('stts', u32(0, 1, samples.length, TIMESCALE)),
    box('stsc', u32(0, 1, 1, samples.length, 1)),
    box('stsz', u32(0, 0, samples.length, ...samples.map(({ length }) => length))),
    box('stco', u32(0, 1, start)),
  );
}

function sampleEntry(): Buffer {
  const sequence = sequenceParameters();
  const pictures = pictureParameters();
  const config = box(
    'avcC',
    Buffer.from([1, 66, 0xc0, 10, 0xff, 0xe1]),
    u16(sequence.length),
    sequence,
    Buffer.from([1]),
    u16(pictures.length),
    pictures,
  );
  const shape = [u16(0, 0, 0, 1), u32(0, 0, 0, 0), u16(WIDTH, HEIGHT), u32(0x480000, 0x480000, 0), u16(1)];
  return box('avc1', ...shape, Buffer.alloc(32), u16(24, 0xffff), config);
}

function sequenceParameters(): Buffer {
  const bits = new Bits().fixed(66, 8).fixed(0xc0, 8).fixed(10, 8);
  // id, frame number bits, picture order type 2, reference frames, no gaps, width and height of one macroblock.
  bits.ue(0).ue(0).ue(2).ue(1).fixed(0, 1).ue(0).ue(0);
  // frames only, direct inference, no cropping, no usability information.
  return nalUnit(0x67, bits.fixed(0b1100, 4));
}

function pictureParameters(): Buffer {
  const bits = new Bits().ue(0).ue(0).fixed(0, 2).ue(0).ue(0).ue(0).fixed(0, 3).ue(0).ue(0).ue(0);
  return nalUnit(0x68, bits.fixed(0, 3));
}

/** An instantaneous refresh of one macroblock whose samples are written out (I_PCM), with its length before it. */
function picture(id: number, brightness: number): Buffer {
  // first macroblock, slice of intra macroblocks alone, picture parameters, frame number, picture id.
  const bits = new Bits().ue(0).ue(7).ue(0).fixed(0, 4).ue(id);
  // no marking of references, no change of the quantiser, I_PCM.
  bits.fixed(0, 2).ue(0).ue(25).align();
  for (let index = 0; index < 384; index += 1) bits.fixed(index < 256 ? brightness : 0x80, 8);
  const unit = nalUnit(0x65, bits);
  return Buffer.concat([u32(unit.length), unit]);
}

/** Closes the bits and keeps start codes out of them. */
function nalUnit(header: number, bits: Bits): Buffer {
  const bytes = [header];
  let zeros = 0;
  for (const byte of bits.fixed(1, 1).align().bytes) {
    if (zeros === 2 && byte <= 3) {
      bytes.push(3);
      zeros = 0;
    }
    bytes.push(byte);
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return Buffer.from(bytes);
}

/** Writes bits, the highest first. */
class Bits {
  readonly bytes: number[] = [];
  #used = 8;

  fixed(value: number, length: number): this {
    for (let bit = length - 1; bit >= 0; bit -= 1) this.#push((value >> bit) & 1);
    return this;
  }

  /** An unsigned Exp-Golomb code. */
  ue(value: number): this {
    const length = Math.floor(Math.log2(value + 1));
    return this.fixed(0, length).fixed(value + 1, length + 1);
  }

  align(): this {
    while (this.#used < 8) this.#push(0);
    return this;
  }

  #push(bit: number): void {
    if (this.#used === 8) {
      this.bytes.push(0);
      this.#used = 0;
    }
    const last = this.bytes.length - 1;
    this.bytes[last] = (this.bytes[last] ?? 0) | (bit << (7 - this.#used));
    this.#used += 1;
  }
}

function box(type: string, ...parts: (Buffer | string)[]): Buffer {
  const content = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
  return Buffer.concat([u32(content.length + 8), Buffer.from(type), content]);
}

function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, index * 4);
  return bytes;
}

function u16(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  for (const [index, value] of values.entries()) bytes.writeUInt16BE(value, index * 2);
  return bytes;
}
