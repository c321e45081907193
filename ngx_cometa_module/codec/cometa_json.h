/*
 * JSON (RFC 8259), as far as messages over a WebSocket need it: one object, a
 * member at a time, whose values are strings, numbers, true, false or null. And
 * the text of strings, as it is written.
 *
 * Pure C: no allocation, no I/O. A string is decoded where it stands, for it
 * never becomes longer: the input is changed, and what is returned lies in it.
 */

#ifndef COMETA_JSON_H
#define COMETA_JSON_H


#include <stddef.h>
#include <stdint.h>


enum {
    COMETA_JSON_END = 0,        /* there are no more members */
    COMETA_JSON_MEMBER,
    COMETA_JSON_MALFORMED = -1, /* it is not JSON */
    COMETA_JSON_NO_OBJECT = -2, /* it is no object */
    COMETA_JSON_NESTED = -3,    /* a value is an object or an array */
    COMETA_JSON_NO_TEXT = -4    /* a string is not UTF-8, or has half of a
                                   surrogate pair */
};


typedef enum {
    COMETA_JSON_STRING = 0,
    COMETA_JSON_NUMBER,         /* as it was written */
    COMETA_JSON_LITERAL         /* true, false, null */
} cometa_json_type_e;


typedef struct {
    uint8_t             *name;
    size_t               name_len;
    uint8_t             *value;
    size_t               len;
    cometa_json_type_e   type;
} cometa_json_member_t;


typedef struct {
    uint8_t             *p;
    uint8_t             *end;
    int                  state;
} cometa_json_t;


void cometa_json_init(cometa_json_t *json, uint8_t *data, size_t len);

/*
 * The next member. Names may come more than once: that is for the caller to
 * judge. An error is final: every further call returns the same.
 */
int cometa_json_next(cometa_json_t *json, cometa_json_member_t *member);

/* The reason behind an error, as text to be shown to who wrote the message. */
const char *cometa_json_error(int rc);

/*
 * Seconds of a number with at most three decimals, in ms; what is above `max`
 * is `max`. -1: the number is negative, has an exponent or more decimals.
 */
int64_t cometa_json_ms(const uint8_t *value, size_t len, int64_t max);


/*
 * Writes text as it stands between the quotes of a string, at most
 * COMETA_JSON_ESCAPE times as long. A byte that is not UTF-8 becomes the
 * character with its number. Returns the end of what was written.
 */
#define COMETA_JSON_ESCAPE  6

uint8_t *cometa_json_escape(uint8_t *dst, const uint8_t *p, size_t len);


#endif /* COMETA_JSON_H */
