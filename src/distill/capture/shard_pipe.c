/** \file shard_pipe.c
 *  Encodes and writes shards beside the teacher. */
#include "distill/capture/shard_pipe.h"

#include "base/worker.h"

#include <stdlib.h>

enum { MAX_WRITERS = 2 };

/** A shard in hand. */
typedef struct slot {
  rt_logits_writer *writer; // owned
  int64_t i_shard;          // -1: free
  int64_t n_rows;           // taken
} slot;

struct rt_shard_pipe {
  rt_shard_pipe_spec spec;
  const rt_logits_info *info;
  slot slot[MAX_WRITERS];
  slot *fills, *seals; // being filled, and written; NULL: none
  rt_worker *encoder;  // owned; works on fills
  rt_worker *sealer;   // owned; works on seals; NULL with one writer
  rt_logits_row *row;  // owned [micro_rows]: for the encoder
  int64_t n_given;     // of these
  int64_t sealed;      // rows
};

double rt_shard_pipe_bytes(const rt_shard_pipe_spec *spec)
{
  const double row = 8.0 * (double)rt_capture_max_entries(spec->info) *
                     (double)spec->info->seq;
  // one row is counted by the writer
  return rt_capture_writer_bytes(spec->info) +
         (double)(spec->micro_rows - 1) * row +
         (spec->n_writers > 1 ? rt_capture_records_bytes(spec->info) + row
                              : 0.0);
}

static rt_err create(rt_shard_pipe *p)
{
  const rt_shard_pipe_spec *const spec = &p->spec;
  p->row = calloc((size_t)spec->micro_rows, sizeof *p->row);
  RT_CHECK(p->row != NULL, RT_ERR_MEM, "%lld rows",
           (long long)spec->micro_rows);
  for (int i = 0; i < MAX_WRITERS; i++)
    p->slot[i].i_shard = -1;
  for (int i = 0; i < spec->n_writers; i++)
    RT_TRY(rt_logits_writer_open(spec->folder, &p->slot[i].writer));
  RT_TRY(rt_worker_create(&p->encoder));
  return spec->n_writers > 1 ? rt_worker_create(&p->sealer) : RT_OK;
}

rt_err rt_shard_pipe_create(const rt_shard_pipe_spec *spec, rt_shard_pipe **out)
{
  RT_ASSERT(spec->n_writers >= 1 && spec->n_writers <= MAX_WRITERS);
  *out = calloc(1, sizeof **out);
  RT_CHECK(*out != NULL, RT_ERR_MEM, "a pipe of shards");
  (*out)->spec = *spec;
  (*out)->info = spec->info;
  return create(*out);
}

void rt_shard_pipe_destroy(rt_shard_pipe **out)
{
  rt_shard_pipe *const p = *out;
  *out = NULL;
  if (p == NULL)
    return;
  rt_worker_destroy(&p->encoder);
  rt_worker_destroy(&p->sealer);
  for (int i = 0; i < MAX_WRITERS; i++)
    rt_logits_writer_close(&p->slot[i].writer);
  for (int64_t r = 0; p->row != NULL && r < p->spec.micro_rows; r++)
    rt_logits_row_clear(&p->row[r]);
  free(p->row);
  free(p);
}

/** Encode the rows that were given. */
static rt_err encode(void *pipe)
{
  rt_shard_pipe *const p = pipe;
  for (int64_t r = 0; r < p->n_given; r++)
    RT_TRY(rt_logits_writer_add(p->fills->writer, &p->row[r]));
  return RT_OK;
}

static rt_err put(void *seals)
{
  return rt_logits_writer_put(((slot *)seals)->writer);
}

/** Publish the shard that was written with the result \a err. */
static rt_err publish(rt_shard_pipe *p, rt_err err)
{
  slot *const s = p->seals;
  p->seals = NULL;
  RT_TRY(rt_capture_seal_end(err, p->spec.folder, s->i_shard, s->writer));
  p->sealed += s->n_rows;
  s->i_shard = -1;
  return RT_OK;
}

/** Publish the shard in writing, if there is one; this waits for it. */
static rt_err end_sealing(rt_shard_pipe *p)
{
  return p->seals != NULL ? publish(p, rt_worker_wait(p->sealer)) : RT_OK;
}

/** The encoder is idle: if its shard is complete, have it written. */
static rt_err pass_on(rt_shard_pipe *p)
{
  slot *const s = p->fills;
  if (s == NULL || s->n_rows < rt_logits_shard_rows(p->info, s->i_shard))
    return RT_OK;
  RT_TRY(end_sealing(p));
  RT_TRY(rt_capture_seal_begin(p->spec.folder, s->i_shard, s->writer));
  p->fills = NULL;
  p->seals = s;
  if (p->sealer == NULL)
    return publish(p, put(s));
  rt_worker_start(p->sealer, put, s);
  return RT_OK;
}

/** A free slot for shard \a i_shard. */
static rt_err begin(rt_shard_pipe *p, int64_t i_shard)
{
  slot *const s = p->seals == &p->slot[0] ? &p->slot[1] : &p->slot[0];
  RT_ASSERT(s->i_shard < 0);
  s->i_shard = i_shard;
  s->n_rows = 0;
  p->fills = s;
  return rt_logits_writer_begin(s->writer, i_shard);
}

rt_err rt_shard_pipe_take(rt_shard_pipe *p, int64_t i_shard,
                          const rt_entries *entries, const rt_batch *b,
                          int64_t n)
{
  const int64_t seq = p->info->seq;
  RT_TRY(rt_worker_wait(p->encoder));
  RT_TRY(pass_on(p));
  if (p->seals != NULL && !rt_worker_busy(p->sealer))
    RT_TRY(end_sealing(p));
  if (p->fills == NULL)
    RT_TRY(begin(p, i_shard));
  RT_ASSERT(p->fills->i_shard == i_shard && n <= p->spec.micro_rows);
  for (int64_t r = 0; r < n; r++)
    RT_TRY(rt_entries_row(entries, r * seq, b->tok + r * seq,
                          b->label + r * seq, seq, &p->row[r]));
  p->n_given = n;
  p->fills->n_rows += n;
  rt_worker_start(p->encoder, encode, p);
  return RT_OK;
}

rt_err rt_shard_pipe_drain(rt_shard_pipe *p)
{
  RT_TRY(rt_worker_wait(p->encoder));
  RT_TRY(pass_on(p));
  return end_sealing(p);
}

int64_t rt_shard_pipe_sealed(const rt_shard_pipe *p)
{
  return p->sealed;
}
