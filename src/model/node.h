/* What a gateway keeps of remote nodes: the node that has joined, and the tokens with which more may. Codecs: JSON, as
 * the store keeps them. The rules of their names, and the text of a token as people carry it. Pure. */
#pragma once

#include "wire/digest.h"
#include "wire/json.h"

#define NODE_NAME_MAX   63 /* a label of a host name (RFC 1123) */
#define NODE_LABEL_MAX  63
#define NODE_LABELS_MAX 32  /* of one node, and of one token */
#define NODE_KEY_MAX    128 /* "SHA256:" and the digest in base64 or hexadecimal */
#define NODE_TEXT_MAX   256 /* address, version, cost: what the node or its connection says */

struct node_record {
	struct str name;
	struct str key;     /* fingerprint of its public key: "SHA256:..." */
	struct str *labels; /* in order, none twice */
	size_t n_labels;
	bool drained;                /* no new work is placed on it */
	int64_t created_ms, seen_ms; /* Unix time */
	struct str address;          /* whence it was connected last */
	struct str version;          /* of Wick, there */
	struct str cost;             /* what its owner says it costs, for people and placement; n == 0: nothing */
};

struct node_token {
	struct str id;     /* 8 hexadecimal digits: what people and logs call it */
	struct str secret; /* SHA-256 of the secret, hexadecimal: the secret itself is nowhere */
	int64_t created_ms, expires_ms;
	uint32_t uses;      /* how often it may be used; 0: any number of times until it expires */
	uint32_t used;      /* how often it was */
	struct str name;    /* the only name it may be used for; n == 0: any */
	struct str *labels; /* given to who joins with it */
	size_t n_labels;
};

json_t *node_record_to_json(const struct node_record *n);
/* Views into j and a; err names the member. */
int node_record_from_json(struct node_record *ret, const json_t *j, struct arena *a, struct err *err);
json_t *node_token_to_json(const struct node_token *t);
int node_token_from_json(struct node_token *ret, const json_t *j, struct arena *a, struct err *err);

/* 1 to 63 of a-z, 0-9 and '-', which stands neither first nor last. */
bool node_name_ok(struct str name);
/* 1 to 63 of A-Z, a-z, 0-9 and "._=-"; the first is a letter or a digit, so that +LABEL and -LABEL can be told. */
bool node_label_ok(struct str label);
/* "SHA256:" and then base64 (either alphabet), hexadecimal, or that with colons. */
bool node_key_ok(struct str key);

bool node_labels_have(const struct str *labels, size_t n, struct str label);
/* labels with add and without remove, in order and none twice, into a: how many there are, which may be more than
 * NODE_LABELS_MAX. What stands in both is removed. */
size_t node_labels_change(struct arena *a, const struct str *labels, size_t n, const struct str *add, size_t n_add,
			  const struct str *remove, size_t n_remove, struct str **ret);

/* "wickt_" + id + "_" + 32 bytes in base64url. The id is no secret. */
#define NODE_TOKEN_SECRET    32
#define NODE_TOKEN_ID_SIZE   9  /* with the NUL */
#define NODE_TOKEN_TEXT_SIZE 59 /* with the NUL */
void node_token_format(const uint8_t id[static 4], const uint8_t secret[static NODE_TOKEN_SECRET],
		       char ret_id[static NODE_TOKEN_ID_SIZE], char ret_text[static NODE_TOKEN_TEXT_SIZE]);
/* The id, a view, and the hash of the secret as struct node_token has it. False: it is no token. */
bool node_token_parse(struct str text, struct str *id, char ret_hash[static 2 * SHA256_SIZE + 1]);

/* "0.0.0.0:9001", "[::]:9001", "gpu.example.org:9001". */
struct node_address {
	struct str host; /* a view, without brackets */
	uint32_t port;
};
bool node_address_parse(struct str s, struct node_address *ret);
/* Of the settings nodes and nodes_url, where they are given: err names the one that is no address. */
struct settings;
int node_address_settings(const struct settings *s, struct node_address *nodes, struct err *err);
/* "https://[::1]:9000/x" gives "[::1]". */
struct str node_url_host(struct str url);
