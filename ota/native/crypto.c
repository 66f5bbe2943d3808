/* What otakit needs of libcrypto (OpenSSL 3.0 or newer), one call each.
 *
 * Every function frees all that it made, on every path, and leaves the thread's error queue empty. It returns DONE,
 * or who is to blame with OpenSSL's words in `reason`. What it put into `*result` the caller frees with release().
 */

#include <stdint.h>
#include <string.h>
#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

enum blame { DONE, BAD_CERTIFICATE, BAD_KEY, BAD_SIGNATURE };

#define REASON_SIZE 256

struct bytes {
    uint8_t *data;
    size_t size;
};

static void release(struct bytes *bytes)
{
    OPENSSL_free(bytes->data);
    bytes->data = NULL;
}

/* Others in this process (Python's ssl) may have left errors behind. */
static enum blame begin(void)
{
    ERR_clear_error();
    return DONE;
}

/* The oldest error is the cause; those above it say only that they failed too. */
static enum blame blame(enum blame whom, char *reason)
{
    const char *detail = NULL;
    int flags = 0;
    unsigned long code = ERR_peek_error_data(&detail, &flags);
    const char *words = ERR_reason_error_string(code);

    if (code == 0)
        words = "refused";
    else if (words == NULL)
        words = "error without a text";
    if ((flags & ERR_TXT_STRING) && detail != NULL && *detail != '\0')
        BIO_snprintf(reason, REASON_SIZE, "%s: %s", words, detail);
    else
        BIO_snprintf(reason, REASON_SIZE, "%s", words);
    ERR_clear_error();
    return whom;
}

/* Callers keep `size` below 2 GiB. */
static BIO *reader(const void *data, size_t size)
{
    return BIO_new_mem_buf(data, (int)size);
}

/* Nobody is there to type a passphrase. */
static int no_passphrase(char *buffer, int size, int writing, void *opaque)
{
    (void)buffer, (void)size, (void)writing, (void)opaque;
    ERR_raise_data(ERR_LIB_PEM, PEM_R_BAD_PASSWORD_READ, "it is encrypted with a passphrase");
    return -1;
}

/* Certificates of a concatenation of PEM blocks; NULL where one is damaged or there is none. */
static STACK_OF(X509) *read_certificates(const uint8_t *pem, size_t size)
{
    STACK_OF(X509) *certificates = sk_X509_new_null();
    BIO *source = reader(pem, size);
    X509 *certificate;

    while (certificates != NULL && source != NULL &&
           (certificate = PEM_read_bio_X509(source, NULL, no_passphrase, NULL)) != NULL) {
        if (!sk_X509_push(certificates, certificate)) {
            X509_free(certificate);
            break;
        }
    }
    BIO_free(source);
    if (sk_X509_num(certificates) > 0 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE) {
        ERR_clear_error(); /* that is how the end of the file looks */
        return certificates;
    }
    sk_X509_pop_free(certificates, X509_free);
    return NULL;
}

static EVP_PKEY *read_key(const uint8_t *pem, size_t size)
{
    BIO *source = reader(pem, size);
    EVP_PKEY *key = source == NULL ? NULL : PEM_read_bio_PrivateKey(source, NULL, no_passphrase, NULL);

    BIO_free(source);
    return key;
}

/* A store that trusts `certificates`: like SWUpdate's, a chain has to end in a self-signed one of them. */
static X509_STORE *make_store(STACK_OF(X509) *certificates)
{
    X509_STORE *store = X509_STORE_new();

    for (int at = 0; store != NULL && at < sk_X509_num(certificates); at++) {
        if (!X509_STORE_add_cert(store, sk_X509_value(certificates, at))) {
            X509_STORE_free(store);
            return NULL;
        }
    }
    return store;
}

/* The subjects of all signers on one line. */
static int write_subjects(CMS_ContentInfo *cms, struct bytes *result)
{
    const unsigned long form = XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB;
    STACK_OF(X509) *signers = CMS_get0_signers(cms);
    BIO *line = BIO_new(BIO_s_mem());
    int good = line != NULL && sk_X509_num(signers) > 0;

    for (int at = 0; good && at < sk_X509_num(signers); at++) {
        good = (at == 0 || BIO_puts(line, "; ") > 0) &&
               X509_NAME_print_ex(line, X509_get_subject_name(sk_X509_value(signers, at)), 0, form) >= 0;
    }
    if (good) {
        char *text = NULL;
        long size = BIO_get_mem_data(line, &text);
        result->data = OPENSSL_memdup(text, (size_t)size + (size == 0));
        result->size = (size_t)size;
        good = result->data != NULL;
    }
    sk_X509_free(signers); /* the certificates in it belong to `cms` */
    BIO_free(line);
    return good;
}

/* Whether `signature`, a detached CMS in DER, is a trusted certificate's over `content`; `result` names the signers.
 * Same call and same purpose (smime_sign, CMS_verify's default) as SWUpdate's crypto/swupdate_cms_verify_openssl.c. */
static enum blame verify_cms(const uint8_t *content, size_t content_size, const uint8_t *signature,
                             size_t signature_size, const uint8_t *certificates, size_t certificates_size,
                             struct bytes *result, char *reason)
{
    enum blame outcome = begin();
    STACK_OF(X509) *trusted = read_certificates(certificates, certificates_size);
    X509_STORE *store = trusted == NULL ? NULL : make_store(trusted);
    BIO *source = reader(content, content_size);
    CMS_ContentInfo *cms = NULL;
    const unsigned char *at = signature;

    if (store == NULL || source == NULL)
        outcome = blame(BAD_CERTIFICATE, reason);
    else if ((cms = d2i_CMS_ContentInfo(NULL, &at, (long)signature_size)) == NULL ||
             CMS_verify(cms, NULL, store, source, NULL, CMS_BINARY) != 1 || !write_subjects(cms, result))
        outcome = blame(BAD_SIGNATURE, reason);
    CMS_ContentInfo_free(cms);
    BIO_free(source);
    X509_STORE_free(store);
    sk_X509_pop_free(trusted, X509_free);
    return outcome;
}

/* Sets the signed attribute before CMS_final() would set it to the time of day. */
static int set_signing_time(CMS_SignerInfo *signer, int64_t seconds)
{
    ASN1_TIME *time = ASN1_TIME_set(NULL, (time_t)seconds);
    int good = time != NULL &&
               CMS_signed_add1_attr_by_NID(signer, NID_pkcs9_signingTime, ASN1_STRING_type(time), time, -1) == 1;

    ASN1_TIME_free(time);
    return good;
}

/* As `openssl cms -sign -binary -nosmimecap -outform DER`, with the time given. */
static enum blame sign_cms(int64_t seconds, const uint8_t *content, size_t content_size, const uint8_t *certificate,
                           size_t certificate_size, const uint8_t *key, size_t key_size, const uint8_t *chain,
                           size_t chain_size, struct bytes *result, char *reason)
{
    const unsigned int flags = CMS_DETACHED | CMS_BINARY | CMS_NOSMIMECAP | CMS_PARTIAL;
    enum blame outcome = begin();
    STACK_OF(X509) *signers = read_certificates(certificate, certificate_size);
    STACK_OF(X509) *others = signers != NULL && chain_size > 0 ? read_certificates(chain, chain_size) : NULL;
    BIO *source = reader(content, content_size);
    EVP_PKEY *private_key = NULL;
    CMS_ContentInfo *cms = NULL;
    CMS_SignerInfo *signer = NULL;

    if (signers == NULL || (chain_size > 0 && others == NULL) || source == NULL)
        outcome = blame(BAD_CERTIFICATE, reason);
    else if ((private_key = read_key(key, key_size)) == NULL)
        outcome = blame(BAD_KEY, reason);
    else if ((cms = CMS_sign(NULL, NULL, others, NULL, flags)) == NULL ||
             (signer = CMS_add1_signer(cms, sk_X509_value(signers, 0), private_key, EVP_sha256(), flags)) == NULL ||
             !set_signing_time(signer, seconds) || CMS_final(cms, source, NULL, flags) != 1)
        outcome = blame(BAD_KEY, reason);
    else {
        int size = i2d_CMS_ContentInfo(cms, &result->data);
        result->size = (size_t)size;
        if (size < 0)
            outcome = blame(BAD_KEY, reason);
    }
    CMS_ContentInfo_free(cms);
    EVP_PKEY_free(private_key);
    BIO_free(source);
    sk_X509_pop_free(others, X509_free);
    sk_X509_pop_free(signers, X509_free);
    return outcome;
}

/* Whether `certificates` are some, none damaged. `result` stays empty. */
static enum blame check_certificates(const uint8_t *certificates, size_t certificates_size, struct bytes *result,
                                     char *reason)
{
    enum blame outcome = begin();
    STACK_OF(X509) *parsed = read_certificates(certificates, certificates_size);

    (void)result;
    if (parsed == NULL)
        outcome = blame(BAD_CERTIFICATE, reason);
    sk_X509_pop_free(parsed, X509_free);
    return outcome;
}

/* RSA PKCS#1 v1.5 over sha256, as `openssl dgst -sha256 -verify`; with an EC key it is ECDSA. `result` stays empty. */
static enum blame verify_raw(const uint8_t *content, size_t content_size, const uint8_t *signature,
                             size_t signature_size, const uint8_t *public_key, size_t public_key_size,
                             struct bytes *result, char *reason)
{
    enum blame outcome = begin();
    BIO *source = reader(public_key, public_key_size);
    EVP_PKEY *key = source == NULL ? NULL : PEM_read_bio_PUBKEY(source, NULL, no_passphrase, NULL);
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    (void)result;
    if (key == NULL || context == NULL || EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) != 1)
        outcome = blame(BAD_KEY, reason);
    else if (EVP_DigestVerify(context, signature, signature_size, content, content_size) != 1)
        outcome = blame(BAD_SIGNATURE, reason);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    BIO_free(source);
    return outcome;
}

/* As `openssl dgst -sha256 -sign`. */
static enum blame sign_raw(const uint8_t *content, size_t content_size, const uint8_t *key, size_t key_size,
                           struct bytes *result, char *reason)
{
    enum blame outcome = begin();
    EVP_PKEY *private_key = read_key(key, key_size);
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    if (private_key == NULL || context == NULL ||
        EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, private_key) != 1 ||
        EVP_DigestSign(context, NULL, &result->size, content, content_size) != 1 ||
        (result->data = OPENSSL_malloc(result->size)) == NULL ||
        EVP_DigestSign(context, result->data, &result->size, content, content_size) != 1)
        outcome = blame(BAD_KEY, reason);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(private_key);
    return outcome;
}
