#pragma once
/* Rows, inside: where the fields of records stand; what head_row.c writes and head_row_read.c
 * reads. */

enum { RECORD_SPAN = 1, RECORD_LINE = 2, RECORD_ORIGIN = 3, RECORD_STREAM = 4 };
enum { RECORD_HEAD = 5 };
/* Both kinds of rows: record head, u32 shared, u64 time. */
enum {
    AT_SHARED = RECORD_HEAD,
    AT_TIME = 9,
    AT_END = 17,
    AT_TRACE = 25,
    AT_SPAN = 41,
    AT_PARENT = 49,
    AT_KIND = 57,
    AT_STATUS = 58,
    AT_SPAN_REST = 59,
    AT_LINE_REST = 17
};
