/** \file hash.c
 *  XXH3 and SHA-256.  The only file that includes xxhash and libcrypto headers.
 */
#include "base/hash.h"

#include "base/file.h"
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// gcc 12 compiles XXH3's AVX-512 loop to 50 GB/s at -O3 and to 79 GB/s at -O2.
// xxhash.h itself contains the same workaround for AVX2.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("-O2")
#endif
#define XXH_INLINE_ALL
#include <xxhash.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

enum { PIECE_BYTES = 1 << 20, DIGEST_BYTES = 32 };

struct rt_sha256 {
  EVP_MD_CTX *context; // owned
  bool ok;
};

uint64_t rt_hash_xxh3(const void *data, size_t n)
{
  return XXH3_64bits(data, n);
}

rt_err rt_sha256_create(rt_sha256 **out)
{
  *out = NULL;
  rt_sha256 *h = calloc(1, sizeof *h);
  RT_CHECK(h != NULL, RT_ERR_MEM, "a hash of %zu bytes", sizeof *h);
  h->context = EVP_MD_CTX_new();
  h->ok = h->context != NULL &&
          EVP_DigestInit_ex(h->context, EVP_sha256(), NULL) == 1;
  if (!h->ok) {
    EVP_MD_CTX_free(h->context);
    free(h);
    return RT_FAIL(RT_ERR_INTERNAL, "libcrypto refuses SHA-256; is this "
                                    "machine's OpenSSL configuration broken?");
  }
  *out = h;
  return RT_OK;
}

void rt_sha256_update(rt_sha256 *h, const void *data, size_t n)
{
  h->ok = h->ok && EVP_DigestUpdate(h->context, data, n) == 1;
}

void rt_sha256_finish(rt_sha256 **h, char hex[RT_SHA256_HEX])
{
  static const char digits[] = "0123456789abcdef";
  unsigned char digest[EVP_MAX_MD_SIZE];
  const bool ok =
      (*h)->ok && EVP_DigestFinal_ex((*h)->context, digest, NULL) == 1;
  hex[0] = '\0'; // differs from every digest, so a failure shows as a mismatch
  for (int i = 0; ok && i < DIGEST_BYTES; i++) {
    hex[2 * i] = digits[digest[i] >> 4];
    hex[2 * i + 1] = digits[digest[i] & 15];
    hex[2 * i + 2] = '\0';
  }
  EVP_MD_CTX_free((*h)->context);
  free(*h);
  *h = NULL;
}

static rt_err feed(rt_sha256 *h, int fd, const char *path, void *piece)
{
  ssize_t n;
  while ((n = read(fd, piece, PIECE_BYTES)) != 0) {
    if (n < 0 && errno == EINTR)
      continue;
    RT_CHECK(n > 0, RT_ERR_IO, "cannot read %s to hash it: %s", path,
             strerror(errno));
    rt_sha256_update(h, piece, (size_t)n);
  }
  return RT_OK;
}

rt_err rt_hash_text(const char *text, size_t n, char hex[RT_SHA256_HEX])
{
  rt_sha256 *h;
  RT_TRY(rt_sha256_create(&h));
  rt_sha256_update(h, text, n);
  rt_sha256_finish(&h, hex);
  return RT_OK;
}

rt_err rt_hash_file(const char *path, char hex[RT_SHA256_HEX])
{
  hex[0] = '\0';
  rt_sha256 *h;
  RT_TRY(rt_sha256_create(&h));
  int fd;
  void *piece = malloc(PIECE_BYTES);
  rt_err err = rt_file_open(path, &fd);
  if (err == RT_OK && piece == NULL)
    err = RT_FAIL(RT_ERR_MEM, "%d bytes to hash %s", PIECE_BYTES, path);
  if (err == RT_OK)
    err = feed(h, fd, path, piece);
  rt_sha256_finish(&h, hex);
  free(piece);
  if (fd >= 0)
    close(fd);
  if (err != RT_OK) {
    hex[0] = '\0';
    return rt_err_forward(err, __FILE__, __LINE__);
  }
  return RT_OK;
}
