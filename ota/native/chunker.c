/* zchunk's automatic chunker, bit for bit, and two loops over bytes that Python has no words for.
 *
 * A buzhash runs over the last 48 bytes that it was fed; a boundary falls before the byte that makes its low
 * 15 bits zero. Rules that follow from how zck_write() works (zchunk 1.2.3 to 1.5.2, src/lib/comp/comp.c and
 * src/lib/buzhash/buzhash.c) and that decide whether two implementations cut alike:
 *
 *   - nothing matches while the window fills; the 48th byte is the first that can;
 *   - a chunk of less than 8192 bytes is not cut: the same byte is fed once more, so for the next 48 bytes the
 *     window holds it twice and the hash is not that of the data;
 *   - a chunk of 131072 bytes is cut before the next byte, whatever the hash;
 *   - after a cut the window is empty and the byte that caused the cut is the first in it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WINDOW 48
#define MATCH_MASK 0x7fffu
#define MIN_CHUNK 8192u
#define MAX_CHUNK 131072u

/* zchunk's table: part of the format (buzhash_table in src/lib/buzhash/buzhash.c). */
#define WORDS(X) \
    X(0x458be752) X(0xc10748cc) X(0xfbbcdbb8) X(0x6ded5b68) X(0xb10a82b5) X(0x20d75648) \
    X(0xdfc5665f) X(0xa8428801) X(0x7ebf5191) X(0x841135c7) X(0x65cc53b3) X(0x280a597c) \
    X(0x16f60255) X(0xc78cbc3e) X(0x294415f5) X(0xb938d494) X(0xec85c4e6) X(0xb7d33edc) \
    X(0xe549b544) X(0xfdeda5aa) X(0x882bf287) X(0x3116737c) X(0x05569956) X(0xe8cc1f68) \
    X(0x0806ac5e) X(0x22a14443) X(0x15297e10) X(0x50d090e7) X(0x4ba60f6f) X(0xefd9f1a7) \
    X(0x5c5c885c) X(0x82482f93) X(0x9bfd7c64) X(0x0b3e7276) X(0xf2688e77) X(0x8fad8abc) \
    X(0xb0509568) X(0xf1ada29f) X(0xa53efdfe) X(0xcb2b1d00) X(0xf2a9e986) X(0x6463432b) \
    X(0x95094051) X(0x5a223ad2) X(0x9be8401b) X(0x61e579cb) X(0x1a556a14) X(0x5840fdc2) \
    X(0x9261ddf6) X(0xcde002bb) X(0x52432bb0) X(0xbf17373e) X(0x7b7c222f) X(0x2955ed16) \
    X(0x9f10ca59) X(0xe840c4c9) X(0xccabd806) X(0x14543f34) X(0x1462417a) X(0x0d4a1f9c) \
    X(0x087ed925) X(0xd7f8f24c) X(0x7338c425) X(0xcf86c8f5) X(0xb19165cd) X(0x9891c393) \
    X(0x325384ac) X(0x0308459d) X(0x86141d7e) X(0xc922116a) X(0xe2ffa6b6) X(0x53f52aed) \
    X(0x2cd86197) X(0xf5b9f498) X(0xbf319c8f) X(0xe0411fae) X(0x977eb18c) X(0xd8770976) \
    X(0x9833466a) X(0xc674df7f) X(0x8c297d45) X(0x8ca48d26) X(0xc49ed8e2) X(0x7344f874) \
    X(0x556f79c7) X(0x6b25eaed) X(0xa03e2b42) X(0xf68f66a4) X(0x8e8b09a2) X(0xf2e0e62a) \
    X(0x0d3a9806) X(0x9729e493) X(0x8c72b0fc) X(0x160b94f6) X(0x450e4d3d) X(0x7a320e85) \
    X(0xbef8f0e1) X(0x21d73653) X(0x4e3d977a) X(0x1e7b3929) X(0x1cc6c719) X(0xbe478d53) \
    X(0x8d752809) X(0xe6d8c2c6) X(0x275f0892) X(0xc8acc273) X(0x4cc21580) X(0xecc4a617) \
    X(0xf5f7be70) X(0xe795248a) X(0x375a2fe9) X(0x425570b6) X(0x8898dcf8) X(0xdc2d97c4) \
    X(0x0106114b) X(0x364dc22f) X(0x1e0cad1f) X(0xbe63803c) X(0x5f69fac2) X(0x4d5afa6f) \
    X(0x1bc0dfb5) X(0xfb273589) X(0x0ea47f7b) X(0x3c1c2b50) X(0x21b2a932) X(0x6b1223fd) \
    X(0x2fe706a8) X(0xf9bd6ce2) X(0xa268e64e) X(0xe987f486) X(0x3eacf563) X(0x1ca2018c) \
    X(0x65e18228) X(0x2207360a) X(0x57cf1715) X(0x34c37d2b) X(0x1f8f3cde) X(0x93b657cf) \
    X(0x31a019fd) X(0xe69eb729) X(0x8bca7b9b) X(0x4c9d5bed) X(0x277ebeaf) X(0xe0d8f8ae) \
    X(0xd150821c) X(0x31381871) X(0xafc3f1b0) X(0x927db328) X(0xe95effac) X(0x305a47bd) \
    X(0x426ba35b) X(0x1233af3f) X(0x686a5b83) X(0x50e072e5) X(0xd9d3bb2a) X(0x8befc475) \
    X(0x487f0de6) X(0xc88dff89) X(0xbd664d5e) X(0x971b5d18) X(0x63b14847) X(0xd7d3c1ce) \
    X(0x7f583cf3) X(0x72cbcb09) X(0xc0d0a81c) X(0x7fa3429b) X(0xe9158a1b) X(0x225ea19a) \
    X(0xd8ca9ea3) X(0xc763b282) X(0xbb0c6341) X(0x020b8293) X(0xd4cd299d) X(0x58cfa7f8) \
    X(0x91b4ee53) X(0x37e4d140) X(0x95ec764c) X(0x30f76b06) X(0x5ee68d24) X(0x679c8661) \
    X(0xa41979c2) X(0xf2b61284) X(0x4fac1475) X(0x0adb49f9) X(0x19727a23) X(0x15a7e374) \
    X(0xc43a18d5) X(0x3fb1aa73) X(0x342fc615) X(0x924c0793) X(0xbee2d7f0) X(0x8a279de9) \
    X(0x4aa2d70c) X(0xe24dd37f) X(0xbe862c0b) X(0x177c22c2) X(0x5388e5ee) X(0xcd8a7510) \
    X(0xf901b4fd) X(0xdbc13dbc) X(0x6c0bae5b) X(0x64efe8c7) X(0x48b02079) X(0x80331a49) \
    X(0xca3d8ae6) X(0xf3546190) X(0xfed7108b) X(0xc49b941b) X(0x32baf4a9) X(0xeb833a4a) \
    X(0x88a3f1a5) X(0x3a91ce0a) X(0x3cc27da1) X(0x7112e684) X(0x4a3096b1) X(0x3794574c) \
    X(0xa3c8b6f3) X(0x1d213941) X(0x6e0a2e00) X(0x233479f1) X(0x0f4cd82f) X(0x6093edd2) \
    X(0x5d7d209e) X(0x464fe319) X(0xd4dcac9e) X(0x0db845cb) X(0xfb5e4bc3) X(0xe0256ce1) \
    X(0x09fb4ed1) X(0x0914be1e) X(0xa5bdb2c3) X(0xc6eb57bb) X(0x30320350) X(0x3f397e91) \
    X(0xa67791bc) X(0x86bc0e2c) X(0xefa0a7e2) X(0xe9ff7543) X(0xe733612c) X(0xd185897b) \
    X(0x329e5388) X(0x91dd236b) X(0x2ecb0d93) X(0xf4d82a3d) X(0x35b5c03f) X(0xe4e606f0) \
    X(0x05b21843) X(0x37b45964) X(0x5eff22f4) X(0x6027f4cc) X(0x77178b3c) X(0xae507131) \
    X(0x7bf7cabc) X(0xf9c18d66) X(0x593ade65) X(0xd95ddf11)

#define AS_IT_ENTERS(word) word,
#define AS_IT_LEAVES(word) ((uint32_t)word << 16 | (uint32_t)word >> 16), /* rotated by 48, modulo 32 bits */

static const uint32_t entering[256] = {WORDS(AS_IT_ENTERS)};
static const uint32_t leaving[256] = {WORDS(AS_IT_LEAVES)};

struct chunker {
    uint32_t length; /* bytes of the chunk so far */
    uint32_t hash;
    uint32_t filled; /* bytes in the window */
    uint32_t oldest; /* where in the window the next byte goes once it is full */
    uint8_t window[WINDOW];
};

static uint32_t rotate(uint32_t word, unsigned bits)
{
    return bits ? word << bits | word >> (32 - bits) : word;
}

/* Takes one byte into the window; true where a boundary falls before it. */
static bool roll(struct chunker *chunker, uint8_t byte)
{
    if (chunker->filled < WINDOW) {
        chunker->window[chunker->filled++] = byte;
        chunker->hash ^= rotate(entering[byte], (WINDOW - chunker->filled) % 32);
        if (chunker->filled < WINDOW)
            return false;
    } else {
        uint8_t *oldest = &chunker->window[chunker->oldest];
        chunker->hash = rotate(chunker->hash, 1) ^ leaving[*oldest] ^ entering[byte];
        *oldest = byte;
        chunker->oldest = (chunker->oldest + 1) % WINDOW;
    }
    return (chunker->hash & MATCH_MASK) == 0;
}

/* Passes bytes up to the next that may end the chunk, without the ring: the window is the 48 bytes before `data`. */
static size_t skim(struct chunker *chunker, const uint8_t *data, size_t size)
{
    size_t limit = MAX_CHUNK - chunker->length;
    uint32_t hash = chunker->hash;
    size_t at;

    if (limit > size)
        limit = size;
    for (at = 0; at < limit; at++) {
        uint32_t next = rotate(hash, 1) ^ leaving[data[(ptrdiff_t)at - WINDOW]] ^ entering[data[at]];
        if ((next & MATCH_MASK) == 0)
            break;
        hash = next;
    }
    chunker->hash = hash;
    chunker->length += (uint32_t)at;
    memcpy(chunker->window, data + at - WINDOW, WINDOW);
    chunker->oldest = 0;
    return at;
}

/* Takes `data`; the lengths of the chunks that it completed go to `lengths`, which must have room for
 * (chunker->length + size) / MIN_CHUNK of them. Returns their number. */
static size_t chunker_feed(struct chunker *chunker, const uint8_t *data, size_t size, uint32_t *lengths)
{
    size_t count = 0;
    size_t run = 0; /* bytes just before data[at] that were fed in this order, each once */
    size_t at = 0;

    while (at < size) {
        if (run >= WINDOW) {
            at += skim(chunker, data + at, size - at);
            run = 0; /* it stopped before a byte that matches, or at the largest chunk or the end */
            continue;
        }
        if (!roll(chunker, data[at]) && chunker->length < MAX_CHUNK) {
            chunker->length++;
            run++;
            at++;
            continue;
        }
        run = 0; /* the byte is fed again. At most 48 times: no byte matches in a window full of itself. */
        if (chunker->length >= MIN_CHUNK) {
            lengths[count++] = chunker->length;
            memset(chunker, 0, sizeof *chunker);
        }
    }
    return count;
}

/* Sum of the bytes modulo 2^32, from `sum`. */
static uint32_t byte_sum(const uint8_t *data, size_t size, uint32_t sum)
{
    for (size_t at = 0; at < size; at++)
        sum += data[at];
    return sum;
}
