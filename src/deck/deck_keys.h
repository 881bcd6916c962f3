/** \file deck_keys.h
 *  The table of deck keys.  Layer: deck.
 *
 *  K(id, path, type, default, low, high, choices, unit, restart, help).
 *  Defaults are texts, parsed like values in a deck.  low > high: no range.
 *  choices: the words of a CHOICE, or the units (steps tokens % time) that a
 *  LENGTH accepts; if empty, all but time.  A REAL with unit s also accepts
 *  times ("30 min", 04:00:00).  In a TEXT with unit path, ~ and ${NAME} are
 *  expanded.  An empty TEXT default means "not set".  restart: FREE keys may
 *  change when a run is continued, because the model is the same up to
 *  rounding; KEPT keys must not, unless checkpoint.allow_change names them; of
 *  CONTENT keys, files with the same contents may be named instead.
 *  To add a key, add a row and run `make docs`. */
#ifndef RT_DECK_KEYS_H
#define RT_DECK_KEYS_H

// clang-format off

/** S(section, title), in the order in which they are shown. */
#define RT_DECK_SECTIONS(S) \
  S("run", "Execution") \
  S("output", "Output of the run") \
  S("checkpoint", "Checkpoints and resuming") \
  S("data", "The corpus and its rows") \
  S("student", "The model being trained") \
  S("teacher", "The model to learn from") \
  S("loss", "The objective") \
  S("train", "Optimizer and length of the run") \
  S("eval", "Evaluation on held-out rows") \
  S("capture", "Capturing datasets of a teacher's logits")

#define RT_DECK_KEYS(K) \
  K(RUN_DEVICE, "run.device", CHOICE, "cpu", 1, 0, "cpu check", "", FREE, "compute device; check defers kernels on the CPU and detects missing waits") \
  K(RUN_DTYPE, "run.dtype", CHOICE, "fp32", 1, 0, "fp32 bf16 fp64", "", KEPT, "arithmetic.  bf16: weights, activations and gradients of logits in bf16; master weights, moments, sums and logits in fp32.  fp64: for verification") \
  K(RUN_THREADS, "run.threads", INT, "0", 0, 1024, "", "", FREE, "OpenMP threads per rank; 0: divide the cores available to the ranks of a node") \
  K(RUN_SEED, "run.seed", INT, "1", 0, 72057594037927935, "", "", KEPT, "seed of the initial weights and of the order of rows") \
  K(RUN_WATCHDOG_S, "run.watchdog_s", REAL, "600", 0, 1e9, "", "s", FREE, "end the job if no step completes for this long; set-up (from one collective, or piece of a large file read, to the next) and a write may take ten times as long, unless all ranks wait for each other; 0: never") \
  K(RUN_WALL_S, "run.wall_s", REAL, "0", 0, 1e9, "", "s", FREE, "stop with a checkpoint before this wall time, in seconds or as a time (04:00:00, 1-00:00:00); 0: take the limit from Slurm") \
  K(RUN_WALL_MARGIN_S, "run.wall_margin_s", REAL, "60", 0, 1e9, "", "s", FREE, "time to leave between the end of the run and the wall limit (at most half of what Slurm grants); training stops earlier by what its checkpoints have taken so far, so this must suffice for the first one") \
  K(RUN_MEMORY_GIB, "run.memory_gib", REAL, "0", 0, 1e6, "", "GiB", FREE, "memory per node that the plan may use; 0: what cgroups, Slurm, ulimits and RAM allow") \
  K(RUN_PEAK_GFLOPS, "run.peak_gflops", REAL, "0", 0, 1e9, "", "GFLOP/s", FREE, "peak of one rank, for MFU; 0: measured once, then cached") \
  K(OUT_DIR, "output.dir", TEXT, "", 1, 0, "", "path", FREE, "output folder of the run: deck, metrics, checkpoints; created if absent") \
  K(OUT_LOG_EVERY, "output.log_every", INT, "10", 1, 1000000000, "", "steps", FREE, "steps between progress lines") \
  K(CKPT_EVERY, "checkpoint.every", LENGTH, "30 min", 1, 0, "steps tokens % time", "", FREE, "interval between checkpoints, as a length or a time (30 min, 2 h); 0: only at the end or when stopped") \
  K(CKPT_ASYNC, "checkpoint.async", BOOL, "true", 1, 0, "", "", FREE, "train on while a checkpoint is written, from a copy of the state, if memory allows; false: wait. The last checkpoint is waited for in any case") \
  K(CKPT_KEEP_LAST, "checkpoint.keep_last", INT, "2", 1, 1000000, "", "", FREE, "number of newest checkpoints to keep") \
  K(CKPT_KEEP_EVERY, "checkpoint.keep_every", INT, "0", 0, 1000000000, "", "steps", FREE, "keep checkpoints at multiples of this many steps permanently; 0: none") \
  K(CKPT_RESUME, "checkpoint.resume", BOOL, "true", 1, 0, "", "", FREE, "resume from the newest valid checkpoint in output.dir") \
  K(CKPT_ALLOW, "checkpoint.allow_change", TEXTS, "[]", 1, 0, "", "", FREE, "keys that may differ from the deck in the checkpoint") \
  K(DATA_FILES, "data.files", TEXTS, "[]", 1, 0, "", "path", KEPT, "corpora: Megatron prefix or .bin, llm.c .bin, raw .u16 or .u32; patterns (part_*.bin) are expanded") \
  K(DATA_WEIGHTS, "data.weights", REALS, "[]", 1, 0, "", "", KEPT, "blend weight of each file; empty: proportional to size") \
  K(DATA_VOCAB, "data.vocab", INT, "0", 0, 4294967295, "", "", KEPT, "true V, the tokenizer's number of ids. Ids of the corpus must be below it; further ids of models, and of datasets captured without it, are padding with probability 0 (teacher and student may be padded differently). 0: the model's vocabulary") \
  K(DATA_SEQ, "data.seq", INT, "512", 1, 1048576, "", "tokens", KEPT, "T, tokens per row (T + 1 are read)") \
  K(DATA_EOT, "data.eot", INT, "-1", -1, 4294967295, "", "", KEPT, "id of the end-of-text token, appended to documents that lack it; -1: none") \
  K(DATA_BOS, "data.bos", INT, "-1", -1, 4294967295, "", "", KEPT, "id of the beginning-of-text token, for models that expect one, added where data.bos_at says; -1: none") \
  K(DATA_BOS_AT, "data.bos_at", CHOICE, "documents", 1, 0, "documents rows", "", KEPT, "add data.bos before each document that does not begin with it, or before each row, which then has T - 1 tokens of the corpus") \
  K(DATA_MASK_DOCS, "data.mask_documents", BOOL, "false", 1, 0, "", "", KEPT, "restart attention and positions at each document") \
  K(DATA_VALID, "data.valid_fraction", REAL, "0.01", 0, 0.9, "", "", KEPT, "fraction of documents held out for validation") \
  K(DATA_SPLIT_SEED, "data.split_seed", INT, "1", 0, 72057594037927935, "", "", KEPT, "seed for the selection of held-out documents") \
  K(DATA_ROWS, "data.rows", INT, "0", 0, 9000000000000000, "", "rows", KEPT, "use only this many rows from the beginning of the training stream; 0: all") \
  K(DATA_TOKENIZER, "data.tokenizer", TEXT, "", 1, 0, "", "path", CONTENT, "Hugging Face folder of the tokenizer that produced the corpus (hashed, and copied by export)") \
  K(STU_WEIGHTS, "student.weights", TEXT, "", 1, 0, "", "path", KEPT, "Hugging Face folder with initial weights; empty: random weights") \
  K(STU_CONFIG, "student.config", TEXT, "", 1, 0, "", "path", KEPT, "Hugging Face config.json (file or folder) that gives the shape; empty: the keys below") \
  K(STU_TP, "student.tp", INT, "1", 1, 1048576, "", "ranks", FREE, "tensor-parallel ranks of the student") \
  K(STU_VOCAB, "student.vocab", INT, "0", 0, 4294967295, "", "", KEPT, "V; 0: the teacher's") \
  K(STU_WIDTH, "student.width", INT, "256", 1, 1048576, "", "", KEPT, "D, hidden size") \
  K(STU_BLOCKS, "student.blocks", INT, "4", 1, 100000, "", "", KEPT, "L, number of transformer blocks") \
  K(STU_HEADS, "student.heads", INT, "4", 1, 65536, "", "", KEPT, "H, query heads") \
  K(STU_KV_HEADS, "student.kv_heads", INT, "0", 0, 65536, "", "", KEPT, "G, key/value heads; 0: same as heads") \
  K(STU_HEAD_DIM, "student.head_dim", INT, "0", 0, 65536, "", "", KEPT, "size of a head; 0: width / heads") \
  K(STU_FFN, "student.ffn", INT, "0", 0, 10000000, "", "", KEPT, "F, inner width of the feed-forward layer; 0: 8/3 width, rounded up to a multiple of 32") \
  K(STU_POSITIONS, "student.max_positions", INT, "0", 0, 16777216, "", "", KEPT, "longest row, as written to config.json; 0: data.seq") \
  K(STU_NORM_EPS, "student.norm_eps", REAL, "1e-5", 1e-30, 1, "", "", KEPT, "epsilon of RMSNorm") \
  K(STU_ROPE_THETA, "student.rope_theta", REAL, "10000", 1, 1e12, "", "", KEPT, "base of the rotary frequencies") \
  K(STU_TIED, "student.tied", BOOL, "true", 1, 0, "", "", KEPT, "output head and embedding share their weights") \
  K(STU_QKV_BIAS, "student.qkv_bias", BOOL, "false", 1, 0, "", "", KEPT, "biases on queries, keys and values") \
  K(STU_INIT_STD, "student.init_std", REAL, "0.02", 0, 10, "", "", KEPT, "standard deviation of the initial weights") \
  K(TEA_SOURCE, "teacher.source", CHOICE, "none", 1, 0, "none live dataset", "", KEPT, "none: language modelling only; live: the teacher runs in every step; dataset: captured logits") \
  K(TEA_WEIGHTS, "teacher.weights", TEXT, "", 1, 0, "", "path", KEPT, "Hugging Face folder of the teacher (live, capture, eval)") \
  K(TEA_DTYPE, "teacher.dtype", CHOICE, "same", 1, 0, "same fp32 bf16 fp64", "", KEPT, "arithmetic of a live teacher; same: run.dtype") \
  K(TEA_TP, "teacher.tp", INT, "1", 1, 1048576, "", "ranks", FREE, "tensor-parallel ranks of the teacher") \
  K(TEA_DATASET, "teacher.dataset", TEXT, "", 1, 0, "", "path", KEPT, "folder of a captured logit dataset") \
  K(TEA_TARGET, "teacher.target", CHOICE, "sparse", 1, 0, "sparse full sampled", "", KEPT, "sparse: truncated entries; full: the whole vocabulary (live); sampled: random draws (live)") \
  K(TEA_TOP_P, "teacher.top_p", REAL, "0.95", 1e-6, 1, "", "", KEPT, "keep the smallest set with this mass of the full softmax (including the token that crosses it)") \
  K(TEA_TOP_K, "teacher.top_k", INT, "50", 1, 65536, "", "entries", KEPT, "then keep at most this many entries") \
  K(TEA_DRAWS, "teacher.draws", INT, "50", 1, 2048, "", "draws", KEPT, "target sampled: ids drawn per token from the full softmax (random-sampling KD)") \
  K(TEA_SEED, "teacher.draw_seed", INT, "1", 0, 9007199254740992, "", "", KEPT, "seed of these draws; equal to capture.draw_seed, it gives the draws that a capture stores") \
  K(TEA_ROW_CUT, "teacher.row_cut", CHOICE, "none", 1, 0, "none beginning pieces", "", KEPT, "if data.seq is shorter than the rows of the dataset - none: refuse; beginning: use the first data.seq tokens of each row, where teacher and student see the same context; pieces: use as many pieces as fit, where the teacher has also seen the preceding ones") \
  K(LOSS_ALPHA, "loss.alpha", REAL, "0.9", 0, 1, "", "", KEPT, "weight of the distillation loss; the language-modelling loss has weight 1 - alpha") \
  K(LOSS_ALPHA_SHAPE, "loss.alpha_schedule", CHOICE, "constant", 1, 0, "constant linear_up linear_down wsd", "", KEPT, "alpha over the run; constant: loss.alpha throughout; for the others loss.alpha is the maximum") \
  K(LOSS_ALPHA_WARMUP, "loss.alpha_warmup", LENGTH, "10 %", 1, 0, "", "", KEPT, "linear warm-up of alpha; only for wsd") \
  K(LOSS_ALPHA_DECAY, "loss.alpha_decay", LENGTH, "1 %", 1, 0, "", "", KEPT, "cosine decay of alpha to 0 at the end; only for wsd") \
  K(LOSS_KIND, "loss.kind", CHOICE, "kld", 1, 0, "kld nll", "", KEPT, "what is reported as kd: forward KL, or the soft cross-entropy; the gradient is the same") \
  K(LOSS_TAU, "loss.tau", REAL, "1", 1e-3, 1000, "", "", KEPT, "temperature of the teacher, applied after truncation") \
  K(LOSS_CHUNK_MIB, "loss.chunk_mib", REAL, "0", 0, 65536, "", "MiB", FREE, "memory for logit tiles; the logits of the whole batch are never in memory. 0: 64 MiB, or what 256 tokens take if that is more (V above 65536 in f32)") \
  K(TRAIN_LENGTH, "train.length", LENGTH, "100 steps", 1, 0, "steps tokens", "", KEPT, "length of the run") \
  K(TRAIN_BATCH, "train.batch_rows", INT, "8", 1, 100000000, "", "rows", KEPT, "rows per step, over all ranks") \
  K(TRAIN_MICRO, "train.micro_rows", INT, "0", 0, 100000000, "", "rows", FREE, "rows of a micro-step on one rank; 0: all its rows at once") \
  K(TRAIN_RECOMPUTE, "train.recompute", CHOICE, "none", 1, 0, "none block", "", FREE, "block: save only the input of each transformer block, and compute its forward again in backward; less memory, about a quarter more work, the same bits") \
  K(TRAIN_LR, "train.lr", REAL, "6e-4", 0, 100, "", "", KEPT, "maximum learning rate") \
  K(TRAIN_LR_FLOOR, "train.lr_floor", REAL, "0.1", 0, 1, "", "", KEPT, "final learning rate of cosine and wsd, as a fraction of train.lr") \
  K(TRAIN_LR_SHAPE, "train.lr_schedule", CHOICE, "cosine", 1, 0, "constant cosine wsd", "", KEPT, "learning rate over the run, after the warm-up") \
  K(TRAIN_LR_WARMUP, "train.lr_warmup", LENGTH, "1 %", 1, 0, "", "", KEPT, "linear warm-up, for every train.lr_schedule; 0: none") \
  K(TRAIN_LR_DECAY, "train.lr_decay", LENGTH, "10 %", 1, 0, "", "", KEPT, "cosine decay to the floor at the end; only for wsd") \
  K(TRAIN_BETA1, "train.beta1", REAL, "0.9", 0, 0.999999, "", "", KEPT, "AdamW: decay rate of the first moment") \
  K(TRAIN_BETA2, "train.beta2", REAL, "0.95", 0, 0.9999999, "", "", KEPT, "AdamW: decay rate of the second moment") \
  K(TRAIN_EPS, "train.eps", REAL, "1e-8", 1e-30, 1, "", "", KEPT, "AdamW: epsilon; must not be 0, as 0 / 0 would give NaN") \
  K(TRAIN_DECAY, "train.weight_decay", REAL, "0.1", 0, 10, "", "", KEPT, "decoupled weight decay") \
  K(TRAIN_DECAY_ALL, "train.decay_norms", BOOL, "false", 1, 0, "", "", KEPT, "apply weight decay to norms and biases, too") \
  K(TRAIN_CLIP, "train.clip", REAL, "1", 0, 1e9, "", "", KEPT, "maximum global gradient norm; 0: no clipping") \
  K(TRAIN_ON_BAD, "train.on_bad_step", CHOICE, "stop", 1, 0, "stop skip", "", KEPT, "on NaN, Inf or a gradient spike, which all ranks detect before the update: stop, or skip the step") \
  K(TRAIN_MAX_SKIPS, "train.max_skips", INT, "10", 0, 1000000, "", "steps", KEPT, "skipped steps after which the run stops") \
  K(TRAIN_SPIKE, "train.spike_factor", REAL, "0", 0, 1e9, "", "", KEPT, "a gradient norm above this multiple of its running mean is a spike; 0: off") \
  K(EVAL_EVERY, "eval.every", LENGTH, "0", 1, 0, "", "", FREE, "interval between evaluations; 0: only at the end") \
  K(EVAL_ROWS, "eval.rows", INT, "64", 0, 1000000000, "", "rows", FREE, "held-out rows per evaluation; 0: none in training, all in `retort eval`") \
  K(EVAL_TEACHER, "eval.teacher", BOOL, "false", 1, 0, "", "", FREE, "also report KL to the teacher and top-1 agreement (loads teacher.weights)") \
  K(EVAL_PART, "eval.part", CHOICE, "valid", 1, 0, "valid train", "", FREE, "`retort eval`: part of the corpus to evaluate") \
  K(EVAL_LOGITS, "eval.logits_out", TEXT, "", 1, 0, "", "path", FREE, "`retort eval`: write the student's raw f32 logits [rows, T, V] to this new file") \
  K(CAP_DIR, "capture.dir", TEXT, "", 1, 0, "", "path", FREE, "folder of the dataset that a capture writes") \
  K(CAP_FIRST, "capture.first_row", INT, "0", 0, 1000000000000, "", "rows", FREE, "row of the training stream at which the capture begins") \
  K(CAP_ROWS, "capture.rows", INT, "0", 0, 1000000000000, "", "rows", FREE, "rows to capture; 0: all from first_row on") \
  K(CAP_SHARD, "capture.shard_rows", INT, "0", 0, 1000000, "", "rows", FREE, "rows per shard file. A writer holds a shard in memory, and loses it when killed. 0: 128, or a 64th of all rows in a large dataset, limited to 256 MiB per shard") \
  K(CAP_MICRO, "capture.micro_rows", INT, "4", 1, 100000, "", "rows", FREE, "rows between two progress reports; does not affect results (rows are computed one by one)") \
  K(CAP_TOP_P, "capture.top_p", REAL, "0.95", 1e-6, 1, "", "", FREE, "mass to keep of each token's full softmax") \
  K(CAP_TOP_K, "capture.top_k", INT, "100", 1, 4294967295, "", "entries", FREE, "then keep at most this many entries; V or more keeps all") \
  K(CAP_DRAWS, "capture.draws", INT, "50", 1, 2048, "", "draws", FREE, "encoding sampled: ids drawn per token from the full softmax (random-sampling KD)") \
  K(CAP_SEED, "capture.draw_seed", INT, "1", 0, 9007199254740992, "", "", FREE, "seed of these draws") \
  K(CAP_ENCODING, "capture.encoding", CHOICE, "packed", 1, 0, "exact packed sampled", "", FREE, "exact: 8 bytes per entry; packed: about 1.6, with exact ids and log-probs rounded in steps of 1/64 to 1/4 nat, at a cost below 1e-4 nats of KL; sampled: capture.draws instead of top_p and top_k (doc/formats.md)") \
  K(CAP_STATISTICS, "capture.statistics", BOOL, "false", 1, 0, "", "", FREE, "also store the entropy of each token's full softmax and the standard deviation of its logits (for adaptive temperatures)") \
  K(CAP_WINDOW_START, "capture.window_start", LENGTH, "0", 1, 0, "", "", FREE, "point of the run at which `train` starts to save the logits of the model being trained (to capture.dir)") \
  K(CAP_WINDOW_LENGTH, "capture.window_length", LENGTH, "0", 1, 0, "", "", FREE, "length of this window; 0: save none") \
  K(CAP_COUNT, "capture.count_only", BOOL, "false", 1, 0, "", "", FREE, "write no dataset; count its entries by p and k to capture.dir/counts.json (k up to capture.top_k if set, otherwise 5 % of the vocabulary)") \
  K(CAP_LICENSE, "capture.license", TEXT, "unspecified", 1, 0, "", "", FREE, "licence and terms of use, stored in the dataset")

// clang-format on

#endif
