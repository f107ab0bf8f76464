/* An example device that uses mbedTLS 2.28 and cJSON, with minimal HTTP and MQTT 3.1.1 clients. */

#define _POSIX_C_SOURCE 200809L
#include <cjson/cJSON.h>
#include <fcntl.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_RESPONSE = 32 * 1024, MAX_PATH = 512 };

static const char *directory;

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(1);
}

static void check(int result, const char *what) {
  if (result >= 0) return;
  char text[128];
  mbedtls_strerror(result, text, sizeof text);
  fail("%s: %s", what, text);
}

static const char *variable(const char *name, const char *fallback) {
  const char *value = getenv(name);
  if (value == NULL) value = fallback;
  if (value == NULL) fail("%s is not set", name);
  return value;
}

/* --- Files ------------------------------------------------------------------------------------- */

static void path_of(char path[MAX_PATH], const char *name, const char *suffix) {
  if (snprintf(path, MAX_PATH, "%s/%s%s", directory, name, suffix) >= MAX_PATH) {
    fail("IDENTITY_DIRECTORY is too long");
  }
}

/* Writes a file for the device only, atomically because the power can fail at any time. */
static void store(const char *name, const char *text) {
  char new[MAX_PATH], path[MAX_PATH];
  path_of(new, name, ".new");
  path_of(path, name, "");
  int file = open(new, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  size_t length = strlen(text);
  if (file < 0 || write(file, text, length) != (ssize_t)length || fsync(file) != 0 ||
      close(file) != 0 || rename(new, path) != 0) {
    fail("cannot write %s", path);
  }
}

static int is_stored(const char *name) {
  char path[MAX_PATH];
  path_of(path, name, "");
  return access(path, R_OK) == 0;
}

/* --- Connections, with or without TLS ------------------------------------------------------------ */

struct connection {
  mbedtls_net_context socket;
  int is_tls;
  mbedtls_ssl_context tls;
  mbedtls_ssl_config settings;
  mbedtls_x509_crt roots, chain;
  mbedtls_pk_context key;
};

static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context random_numbers;

/* Opens a connection: with TLS if `roots` is set, with the client certificate if `identity` is. */
static void open_connection(struct connection *it, const char *host, const char *port,
                            const char *roots, int identity) {
  mbedtls_net_init(&it->socket);
  check(mbedtls_net_connect(&it->socket, host, port, MBEDTLS_NET_PROTO_TCP), host);
  it->is_tls = roots != NULL;
  mbedtls_ssl_init(&it->tls);
  mbedtls_ssl_config_init(&it->settings);
  mbedtls_x509_crt_init(&it->roots);
  mbedtls_x509_crt_init(&it->chain);
  mbedtls_pk_init(&it->key);
  if (!it->is_tls) return;

  check(mbedtls_ssl_config_defaults(&it->settings, MBEDTLS_SSL_IS_CLIENT,
                                    MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT),
        "TLS settings");
  mbedtls_ssl_conf_min_version(&it->settings, MBEDTLS_SSL_MAJOR_VERSION_3,
                               MBEDTLS_SSL_MINOR_VERSION_3);
  mbedtls_ssl_conf_rng(&it->settings, mbedtls_ctr_drbg_random, &random_numbers);
  /* The default for clients. Never change this line: anything else disables authentication. */
  mbedtls_ssl_conf_authmode(&it->settings, MBEDTLS_SSL_VERIFY_REQUIRED);
  check(mbedtls_x509_crt_parse_file(&it->roots, roots), roots);
  mbedtls_ssl_conf_ca_chain(&it->settings, &it->roots, NULL);
  if (identity) {
    char chain[MAX_PATH], key[MAX_PATH];
    path_of(chain, "chain.pem", "");
    path_of(key, "key.pem", "");
    check(mbedtls_x509_crt_parse_file(&it->chain, chain), chain);
    check(mbedtls_pk_parse_keyfile(&it->key, key, NULL), key);
    check(mbedtls_ssl_conf_own_cert(&it->settings, &it->chain, &it->key), "identity");
  }
  check(mbedtls_ssl_setup(&it->tls, &it->settings), "TLS");
  check(mbedtls_ssl_set_hostname(&it->tls, host), host);
  mbedtls_ssl_set_bio(&it->tls, &it->socket, mbedtls_net_send, mbedtls_net_recv, NULL);
  check(mbedtls_ssl_handshake(&it->tls), host);
}

static void send_all(struct connection *it, const void *data, size_t length) {
  const unsigned char *next = data;
  while (length > 0) {
    int sent = it->is_tls ? mbedtls_ssl_write(&it->tls, next, length)
                          : mbedtls_net_send(&it->socket, next, length);
    check(sent, "send");
    next += sent;
    length -= (size_t)sent;
  }
}

/* Receives up to `length` bytes. Returns 0 at the end of the stream. */
static size_t receive(struct connection *it, unsigned char *data, size_t length) {
  int received = it->is_tls ? mbedtls_ssl_read(&it->tls, data, length)
                            : mbedtls_net_recv(&it->socket, data, length);
  if (received == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) return 0;
  check(received, "receive");
  return (size_t)received;
}

static void close_connection(struct connection *it) {
  if (it->is_tls) mbedtls_ssl_close_notify(&it->tls);
  mbedtls_ssl_free(&it->tls);
  mbedtls_ssl_config_free(&it->settings);
  mbedtls_x509_crt_free(&it->roots);
  mbedtls_x509_crt_free(&it->chain);
  mbedtls_pk_free(&it->key);
  mbedtls_net_free(&it->socket);
}

/* --- The API ------------------------------------------------------------------------------------- */

/* Sends a request and returns the JSON response. Retries while the API is unavailable. */
static cJSON *request(const char *method, const char *path, const char *header, const char *token,
                      const char *form) {
  const char *url = variable("BIRTHCERT_API_URL", NULL);
  int is_tls = strncmp(url, "https://", 8) == 0;
  if (!is_tls && strncmp(url, "http://", 7) != 0) fail("BIRTHCERT_API_URL is not a valid URL");
  char host[256] = "", port[6] = "";
  if (sscanf(url + (is_tls ? 8 : 7), "%255[^:/]:%5[0-9]", host, port) < 2) {
    strcpy(port, is_tls ? "443" : "80");
  }
  static char text[1024], response[MAX_RESPONSE];
  /* With "Connection: close", the end of the connection is the end of the response. */
  int length = snprintf(text, sizeof text,
                        "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s%s\r\n"
                        "Content-Type: application/x-www-form-urlencoded\r\n"
                        "Content-Length: %zu\r\n\r\n%s",
                        method, path, host, header, token, strlen(form), form);
  if (length < 0 || (size_t)length >= sizeof text) fail("the request is too long");

  for (unsigned wait = 2;; wait *= 2) {
    struct connection api;
    open_connection(&api, host, port,
                    is_tls ? variable("API_ROOTS", "/etc/ssl/certs/ca-certificates.crt") : NULL, 0);
    send_all(&api, text, (size_t)length);
    size_t total = 0, received;
    unsigned char *next = (unsigned char *)response;
    while ((received = receive(&api, next + total, MAX_RESPONSE - 1 - total)) > 0) {
      total += received;
    }
    close_connection(&api);
    response[total] = '\0';

    int status = 0;
    char *body = strstr(response, "\r\n\r\n");
    if (sscanf(response, "HTTP/1.%*d %d", &status) != 1 || body == NULL) {
      fail("%s: the response is not valid HTTP", path);
    }
    if (status == 200) {
      cJSON *json = cJSON_Parse(body + 4);
      memset(response, 0, sizeof response); /* It may contain the private key. */
      if (json == NULL) fail("%s: the response is not valid JSON", path);
      return json;
    }
    if (status != 503 || wait > 32) fail("%s: %d %s", path, status, body + 4);
    sleep(wait);
  }
}

static const char *member(const cJSON *json, const char *name) {
  const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, name);
  if (!cJSON_IsString(value)) fail("the response has no %s", name);
  return value->valuestring;
}

static cJSON *enrolled(void) {
  if (!is_stored("device.json")) {
    cJSON *device = request("POST", "/enroll", "Thistle-Device-Enrollment-Token: ",
                            variable("BIRTHCERT_ENROLLMENT_TOKEN", NULL), "label=C+example");
    char *text = cJSON_Print(device);
    store("device.json", text);
    free(text);
    return device;
  }
  char path[MAX_PATH], text[2048];
  path_of(path, "device.json", "");
  FILE *file = fopen(path, "r");
  size_t length = file == NULL ? 0 : fread(text, 1, sizeof text - 1, file);
  if (file != NULL) fclose(file);
  text[length] = '\0';
  cJSON *device = cJSON_Parse(text);
  if (device == NULL) fail("%s is damaged", path);
  return device;
}

static void ensure_identity(const cJSON *device) {
  /* root.pem is written last: without it, request the identity (again) with the stored token. */
  if (is_stored("root.pem")) return;
  cJSON *identity =
      request("GET", "/identity", "Authorization: Bearer ", member(device, "device_token"), "");
  store("key.pem", member(identity, "device_private_key_pem"));
  store("chain.pem", member(identity, "certificate_chain_pem"));
  store("root.pem", member(identity, "ca_certificate_pem"));
  cJSON_Delete(identity);
}

/* --- MQTT 3.1.1 ---------------------------------------------------------------------------------- */

static size_t put_string(unsigned char *to, const char *text) {
  size_t length = strlen(text);
  to[0] = (unsigned char)(length >> 8);
  to[1] = (unsigned char)length;
  memcpy(to + 2, text, length);
  return length + 2;
}

/* Sends a packet of less than 128 bytes after the two-byte header, and expects these four bytes. */
static void exchange(struct connection *broker, unsigned char *packet, size_t length,
                     const unsigned char expected[4], const char *what) {
  packet[1] = (unsigned char)(length - 2);
  send_all(broker, packet, length);
  unsigned char response[4];
  for (size_t total = 0, received; total < sizeof response; total += received) {
    received = receive(broker, response + total, sizeof response - total);
    if (received == 0) fail("%s: the broker closed the connection", what);
  }
  if (memcmp(response, expected, sizeof response) != 0) fail("%s: refused by the broker", what);
}

static void publish(const char *device_id) {
  char roots[MAX_PATH], topic[64];
  path_of(roots, "root.pem", "");
  struct connection broker;
  open_connection(&broker, variable("MQTT_HOST", "localhost"), variable("MQTT_PORT", "8883"), roots,
                  1);

  /* CONNECT: protocol level 4, clean session, a minute of keep-alive. */
  unsigned char packet[2 + 127] = {0x10, 0, 0, 4, 'M', 'Q', 'T', 'T', 4, 0x02, 0, 60};
  size_t length = 12 + put_string(packet + 12, device_id);
  exchange(&broker, packet, length, (unsigned char[4]){0x20, 2, 0, 0}, "connect");

  /* PUBLISH: at least once, retained, packet identifier 1. */
  snprintf(topic, sizeof topic, "devices/%s/status", device_id);
  packet[0] = 0x33;
  length = 2 + put_string(packet + 2, topic);
  packet[length++] = 0;
  packet[length++] = 1;
  static const char message[] = "hello from C";
  memcpy(packet + length, message, sizeof message - 1);
  length += sizeof message - 1;
  exchange(&broker, packet, length, (unsigned char[4]){0x40, 2, 0, 1}, "publish");

  send_all(&broker, (unsigned char[2]){0xe0, 0}, 2); /* DISCONNECT */
  close_connection(&broker);
}

int main(void) {
  directory = variable("IDENTITY_DIRECTORY", "identity");
  mkdir(directory, 0700);
  mbedtls_entropy_init(&entropy);
  mbedtls_ctr_drbg_init(&random_numbers);
  check(mbedtls_ctr_drbg_seed(&random_numbers, mbedtls_entropy_func, &entropy, NULL, 0), "random");

  cJSON *device = enrolled();
  ensure_identity(device);
  const char *device_id = member(device, "device_id");
  publish(device_id);
  printf("%s: published\n", device_id);
  cJSON_Delete(device);
  return 0;
}
