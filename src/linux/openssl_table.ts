/**
 * The functions of OpenSSL 3 that are called, with the types of its headers. A wrong line here crashes the process.
 * Those that may call back into JavaScript have `callback: true`.
 */

// Counts that C has as size_t or long are declared by their real size, because they stand on the stack or in a
// register of that size; results are declared i32 where nobody needs the upper half.

/** Of libssl: contexts, and one connection each. */
export const LIBSSL = {
  OPENSSL_init_ssl: { parameters: ["u64", "pointer"], result: "i32" }, // uint64_t opts, const OPENSSL_INIT_SETTINGS*
  TLS_method: { parameters: [], result: "pointer" },
  SSL_CTX_new: { parameters: ["pointer"], result: "pointer" }, // const SSL_METHOD*
  SSL_CTX_free: { parameters: ["pointer"], result: "void" }, // SSL_CTX*
  SSL_CTX_ctrl: { parameters: ["pointer", "i32", "i64", "buffer"], result: "i64" }, // SSL_CTX*, int, long, void*
  SSL_CTX_ctrl_pointer: {
    name: "SSL_CTX_ctrl", // the same function, for an object of the library
    parameters: ["pointer", "i32", "i64", "pointer"],
    result: "i64",
  },
  SSL_CTX_callback_ctrl: { parameters: ["pointer", "i32", "function"], result: "i64" }, // SSL_CTX*, int, void (*)(void)
  SSL_CTX_set_options: { parameters: ["pointer", "u64"], result: "u64" }, // SSL_CTX*, uint64_t
  SSL_CTX_set_cipher_list: { parameters: ["pointer", "buffer"], result: "i32" }, // SSL_CTX*, const char*
  SSL_CTX_set_verify: { parameters: ["pointer", "i32", "pointer"], result: "void" }, // SSL_CTX*, int mode, callback
  SSL_CTX_set_default_verify_paths: { parameters: ["pointer"], result: "i32" }, // SSL_CTX*
  SSL_CTX_get_cert_store: { parameters: ["pointer"], result: "pointer" }, // const SSL_CTX*
  SSL_CTX_add_client_CA: { parameters: ["pointer", "pointer"], result: "i32" }, // SSL_CTX*, X509*
  SSL_CTX_use_certificate: { parameters: ["pointer", "pointer"], result: "i32" }, // SSL_CTX*, X509*
  SSL_CTX_use_PrivateKey: { parameters: ["pointer", "pointer"], result: "i32" }, // SSL_CTX*, EVP_PKEY*
  SSL_CTX_check_private_key: { parameters: ["pointer"], result: "i32" }, // const SSL_CTX*
  SSL_CTX_set_session_id_context: { parameters: ["pointer", "buffer", "u32"], result: "i32" }, // SSL_CTX*, const unsigned char*, unsigned
  SSL_CTX_set_alpn_protos: { parameters: ["pointer", "buffer", "u32"], result: "i32" }, // SSL_CTX*, const unsigned char*, unsigned
  SSL_CTX_set_alpn_select_cb: { parameters: ["pointer", "function", "pointer"], result: "void" }, // SSL_CTX*, callback, void*
  SSL_select_next_proto: {
    parameters: ["pointer", "pointer", "buffer", "u32", "pointer", "u32"], // unsigned char**, unsigned char*, server list, its length, client list, its length
    result: "i32",
  },
  SSL_new: { parameters: ["pointer"], result: "pointer" }, // SSL_CTX*
  SSL_free: { parameters: ["pointer"], result: "void" }, // SSL*
  SSL_ctrl: { parameters: ["pointer", "i32", "i64", "buffer"], result: "i64" }, // SSL*, int, long, void*
  SSL_set_wfd: { parameters: ["pointer", "i32"], result: "i32" }, // SSL*, int
  SSL_set0_rbio: { parameters: ["pointer", "pointer"], result: "void" }, // SSL*, BIO*
  SSL_set0_wbio: { parameters: ["pointer", "pointer"], result: "void" }, // SSL*, BIO*
  SSL_set_accept_state: { parameters: ["pointer"], result: "void" }, // SSL*
  SSL_set_connect_state: { parameters: ["pointer"], result: "void" }, // SSL*
  SSL_do_handshake: { parameters: ["pointer"], result: "i32", callback: true }, // SSL*
  SSL_read: { parameters: ["pointer", "buffer", "i32"], result: "i32" }, // SSL*, void*, int
  SSL_write: { parameters: ["pointer", "buffer", "i32"], result: "i32" }, // SSL*, const void*, int
  SSL_shutdown: { parameters: ["pointer"], result: "i32" }, // SSL*
  SSL_get_error: { parameters: ["pointer", "i32"], result: "i32" }, // const SSL*, int
  SSL_get_state: { parameters: ["pointer"], result: "i32" }, // const SSL*
  SSL_get_verify_result: { parameters: ["pointer"], result: "i64" }, // const SSL*
  SSL_get0_param: { parameters: ["pointer"], result: "pointer" }, // SSL*
  SSL_get_servername: { parameters: ["pointer", "i32"], result: "pointer" }, // const SSL*, int type
  SSL_set_SSL_CTX: { parameters: ["pointer", "pointer"], result: "pointer" }, // SSL*, SSL_CTX*
  SSL_get0_alpn_selected: { parameters: ["pointer", "buffer", "buffer"], result: "void" }, // const SSL*, const unsigned char**, unsigned*
  SSL_version: { parameters: ["pointer"], result: "i32" }, // const SSL*
  SSL_session_reused: { parameters: ["pointer"], result: "i32" }, // const SSL*
  SSL_get1_session: { parameters: ["pointer"], result: "pointer" }, // SSL*
  SSL_set_session: { parameters: ["pointer", "pointer"], result: "i32" }, // SSL*, SSL_SESSION*
  SSL_SESSION_free: { parameters: ["pointer"], result: "void" }, // SSL_SESSION*
  SSL_SESSION_is_resumable: { parameters: ["pointer"], result: "i32" }, // const SSL_SESSION*
} as const;

/** Of libcrypto: certificates, keys, errors and buffers. */
export const LIBCRYPTO = {
  OPENSSL_init_crypto: { parameters: ["u64", "pointer"], result: "i32" }, // uint64_t opts, const OPENSSL_INIT_SETTINGS*
  OpenSSL_version_num: { parameters: [], result: "u64" },
  ERR_clear_error: { parameters: [], result: "void" },
  ERR_peek_error: { parameters: [], result: "u64" },
  ERR_reason_error_string: { parameters: ["u64"], result: "pointer" }, // unsigned long
  BIO_s_mem: { parameters: [], result: "pointer" },
  BIO_new: { parameters: ["pointer"], result: "pointer" }, // const BIO_METHOD*
  BIO_free: { parameters: ["pointer"], result: "i32" }, // BIO*
  BIO_read: { parameters: ["pointer", "buffer", "i32"], result: "i32" }, // BIO*, void*, int
  BIO_write: { parameters: ["pointer", "buffer", "i32"], result: "i32" }, // BIO*, const void*, int
  BIO_ctrl: { parameters: ["pointer", "i32", "i64", "pointer"], result: "i64" }, // BIO*, int, long, void*
  PEM_read_bio_X509: { parameters: ["pointer", "pointer", "pointer", "buffer"], result: "pointer" }, // BIO*, X509**, callback, void*
  PEM_read_bio_PrivateKey: {
    parameters: ["pointer", "pointer", "pointer", "buffer"], // BIO*, EVP_PKEY**, callback, passphrase
    result: "pointer",
  },
  EVP_PKEY_free: { parameters: ["pointer"], result: "void" }, // EVP_PKEY*
  X509_free: { parameters: ["pointer"], result: "void" }, // X509*
  X509_get_ext_d2i: { parameters: ["pointer", "i32", "pointer", "pointer"], result: "pointer" }, // const X509*, int nid, int*, int*
  X509_get_subject_name: { parameters: ["pointer"], result: "pointer" }, // const X509*
  X509_NAME_get_text_by_NID: { parameters: ["pointer", "i32", "buffer", "i32"], result: "i32" }, // X509_NAME*, int nid, char*, int
  OPENSSL_sk_num: { parameters: ["pointer"], result: "i32" }, // const OPENSSL_STACK*
  OPENSSL_sk_value: { parameters: ["pointer", "i32"], result: "pointer" }, // const OPENSSL_STACK*, int
  GENERAL_NAME_get0_value: { parameters: ["pointer", "buffer"], result: "pointer" }, // const GENERAL_NAME*, int*
  GENERAL_NAMES_free: { parameters: ["pointer"], result: "void" }, // GENERAL_NAMES*
  ASN1_STRING_get0_data: { parameters: ["pointer"], result: "pointer" }, // const ASN1_STRING*
  ASN1_STRING_length: { parameters: ["pointer"], result: "i32" }, // const ASN1_STRING*
  X509_STORE_add_cert: { parameters: ["pointer", "pointer"], result: "i32" }, // X509_STORE*, X509*
  X509_STORE_set_flags: { parameters: ["pointer", "u64"], result: "i32" }, // X509_STORE*, unsigned long
  X509_get_default_cert_dir: { parameters: [], result: "pointer" },
  X509_get_default_cert_file: { parameters: [], result: "pointer" },
  X509_VERIFY_PARAM_set1_host: { parameters: ["pointer", "buffer", "usize"], result: "i32" }, // X509_VERIFY_PARAM*, const char*, size_t
  X509_VERIFY_PARAM_set1_ip_asc: { parameters: ["pointer", "buffer"], result: "i32" }, // X509_VERIFY_PARAM*, const char*
  X509_VERIFY_PARAM_set_flags: { parameters: ["pointer", "u64"], result: "i32" }, // X509_VERIFY_PARAM*, unsigned long
  X509_VERIFY_PARAM_set_hostflags: { parameters: ["pointer", "u32"], result: "void" }, // X509_VERIFY_PARAM*, unsigned
  X509_verify_cert_error_string: { parameters: ["i64"], result: "pointer" }, // long
} as const;
