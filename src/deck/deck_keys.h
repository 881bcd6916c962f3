/** \file deck_keys.h
 *  The table of deck keys.  Layer: deck.
 *
 *  K(id, path, type, default, low, high, choices, unit, help).  Defaults are
 *  texts, parsed like values in a deck.  low > high: no range.  choices: the
 *  words of a CHOICE, or the units (steps tokens % time) that a LENGTH accepts;
 *  if empty, all but time.  A REAL with unit s also accepts times ("30 min",
 *  04:00:00).  In a TEXT with unit path, ~ and ${NAME} are expanded.  An empty
 *  TEXT default means "not set".  To add a key, add a row and run `make docs`. */
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
  K(RUN_DEVICE, "run.device", CHOICE, "cpu", 1, 0, "cpu check", "", "where numbers are computed; check is the lazy CPU queue that finds missing waits") \
  K(RUN_REAL, "run.real", CHOICE, "f32", 1, 0, "f32 f64", "", "type of parameters, gradients and activations") \
  K(RUN_THREADS, "run.threads", INT, "0", 0, 1024, "", "", "OpenMP threads per rank; 0 shares the cores that this rank may use") \
  K(RUN_SEED, "run.seed", INT, "1", 0, 72057594037927935, "", "", "seed of initial weights and of the order of rows") \
  K(RUN_WATCHDOG_S, "run.watchdog_s", REAL, "600", 0, 1e9, "", "s", "end the job when no step finishes for this long, nor set-up (from one collective to the next) or a write for ten times as long unless all ranks wait for each other; 0 never") \
  K(RUN_WALL_S, "run.wall_s", REAL, "0", 0, 1e9, "", "s", "stop with a checkpoint before this much wall time, in seconds or as a time (04:00:00, 1-00:00:00); 0 asks Slurm") \
  K(RUN_WALL_MARGIN_S, "run.wall_margin_s", REAL, "60", 0, 1e9, "", "s", "how long before the wall limit to stop (at most half of what Slurm gives)") \
  K(RUN_MEMORY_GIB, "run.memory_gib", REAL, "0", 0, 1e6, "", "GiB", "memory per node that the plan may use; 0: what cgroups, Slurm, ulimit and RAM leave") \
  K(RUN_PEAK_GFLOPS, "run.peak_gflops", REAL, "0", 0, 1e9, "", "GFLOP/s", "peak of one rank, for MFU; 0: measured once, and remembered") \
  K(OUT_DIR, "output.dir", TEXT, "", 1, 0, "", "path", "folder of this run: deck, metrics, checkpoints; made when absent") \
  K(OUT_LOG_EVERY, "output.log_every", INT, "10", 1, 1000000000, "", "steps", "steps between progress lines") \
  K(CKPT_EVERY, "checkpoint.every", LENGTH, "30 min", 1, 0, "steps tokens % time", "", "between checkpoints, as a length or as a time (30 min, 2 h); 0 only at the end or when stopped") \
  K(CKPT_KEEP_LAST, "checkpoint.keep_last", INT, "2", 1, 1000000, "", "", "newest checkpoints kept") \
  K(CKPT_KEEP_EVERY, "checkpoint.keep_every", INT, "0", 0, 1000000000, "", "steps", "checkpoints at multiples of this are kept for ever; 0 none") \
  K(CKPT_RESUME, "checkpoint.resume", BOOL, "true", 1, 0, "", "", "go on from the newest valid checkpoint in output.dir") \
  K(CKPT_ALLOW, "checkpoint.allow_change", TEXTS, "[]", 1, 0, "", "", "keys that may differ from the checkpoint's deck") \
  K(DATA_FILES, "data.files", TEXTS, "[]", 1, 0, "", "path", "corpora: Megatron prefix or .bin, llm.c .bin, raw .u16 or .u32") \
  K(DATA_WEIGHTS, "data.weights", REALS, "[]", 1, 0, "", "", "blend weight of each file; empty: by size") \
  K(DATA_VOCAB, "data.vocab", INT, "0", 0, 4294967295, "", "", "true V, the tokenizer's: ids of the corpus must be below, and what models, and datasets captured without it, have beyond is padding without probability (teacher and student may differ in it); 0: the model's vocabulary") \
  K(DATA_SEQ, "data.seq", INT, "512", 1, 1048576, "", "tokens", "T, tokens of a row (T + 1 are read)") \
  K(DATA_EOT, "data.eot", INT, "-1", -1, 4294967295, "", "", "id of end-of-text, put after each document that lacks it; -1 none") \
  K(DATA_MASK_DOCS, "data.mask_documents", BOOL, "false", 1, 0, "", "", "attention and positions start afresh at each document") \
  K(DATA_VALID, "data.valid_fraction", REAL, "0.01", 0, 0.9, "", "", "share of documents held out for validation") \
  K(DATA_SPLIT_SEED, "data.split_seed", INT, "1", 0, 72057594037927935, "", "", "seed of the choice of held-out documents") \
  K(DATA_ROWS, "data.rows", INT, "0", 0, 9000000000000000, "", "rows", "use only the first rows of the training stream; 0 all") \
  K(DATA_TOKENIZER, "data.tokenizer", TEXT, "", 1, 0, "", "path", "Hugging Face folder whose tokenizer made the corpus (hashed, copied by export)") \
  K(STU_WEIGHTS, "student.weights", TEXT, "", 1, 0, "", "path", "Hugging Face folder to start from; empty: random weights") \
  K(STU_CONFIG, "student.config", TEXT, "", 1, 0, "", "path", "Hugging Face config.json (file or folder) for the shape; empty: the keys below") \
  K(STU_TP, "student.tp", INT, "1", 1, 1048576, "", "ranks", "tensor-parallel ranks of the student") \
  K(STU_VOCAB, "student.vocab", INT, "0", 0, 4294967295, "", "", "V; 0: the teacher's") \
  K(STU_WIDTH, "student.width", INT, "256", 1, 1048576, "", "", "D, hidden size") \
  K(STU_BLOCKS, "student.blocks", INT, "4", 1, 100000, "", "", "L, number of blocks") \
  K(STU_HEADS, "student.heads", INT, "4", 1, 65536, "", "", "H, query heads") \
  K(STU_KV_HEADS, "student.kv_heads", INT, "0", 0, 65536, "", "", "G, key/value heads; 0: as many as heads") \
  K(STU_HEAD_DIM, "student.head_dim", INT, "0", 0, 65536, "", "", "size of a head; 0: width / heads") \
  K(STU_FFN, "student.ffn", INT, "0", 0, 10000000, "", "", "F, inner width; 0: 8/3 width rounded up to 32") \
  K(STU_POSITIONS, "student.max_positions", INT, "0", 0, 16777216, "", "", "longest row for the written config.json; 0: data.seq") \
  K(STU_NORM_EPS, "student.norm_eps", REAL, "1e-5", 1e-30, 1, "", "", "epsilon of RMSNorm") \
  K(STU_ROPE_THETA, "student.rope_theta", REAL, "10000", 1, 1e12, "", "", "base of the rotary angles") \
  K(STU_TIED, "student.tied", BOOL, "true", 1, 0, "", "", "the head shares the embedding's weights") \
  K(STU_QKV_BIAS, "student.qkv_bias", BOOL, "false", 1, 0, "", "", "biases on queries, keys and values") \
  K(STU_INIT_STD, "student.init_std", REAL, "0.02", 0, 10, "", "", "standard deviation of initial weights") \
  K(TEA_SOURCE, "teacher.source", CHOICE, "none", 1, 0, "none live dataset", "", "none: language modelling only; live: in the step; dataset: captured logits") \
  K(TEA_WEIGHTS, "teacher.weights", TEXT, "", 1, 0, "", "path", "Hugging Face folder of the teacher (live, capture, eval)") \
  K(TEA_TP, "teacher.tp", INT, "1", 1, 1048576, "", "ranks", "tensor-parallel ranks of the teacher") \
  K(TEA_DATASET, "teacher.dataset", TEXT, "", 1, 0, "", "path", "folder of a captured logit dataset") \
  K(TEA_TARGET, "teacher.target", CHOICE, "sparse", 1, 0, "sparse full sampled", "", "truncated entries, the whole vocabulary (live, equal tp), or random draws (live)") \
  K(TEA_TOP_P, "teacher.top_p", REAL, "0.95", 1e-6, 1, "", "", "smallest set with this mass of the full softmax (the crossing token included)") \
  K(TEA_TOP_K, "teacher.top_k", INT, "50", 1, 65536, "", "entries", "then at most this many") \
  K(TEA_DRAWS, "teacher.draws", INT, "50", 1, 2048, "", "draws", "target sampled: ids drawn for each token from the full softmax (random-sampling KD)") \
  K(TEA_SEED, "teacher.draw_seed", INT, "1", 0, 9007199254740992, "", "", "of these draws; with capture.draw_seed the same, live and captured draws are the same") \
  K(TEA_ROW_CUT, "teacher.row_cut", CHOICE, "none", 1, 0, "none beginning pieces", "", "with data.seq shorter than a dataset's rows - none: refuse; beginning: only the first data.seq tokens of each, whose teacher saw what the student sees; pieces: as many as fit, whose teacher also saw what came before") \
  K(LOSS_ALPHA, "loss.alpha", REAL, "0.9", 0, 1, "", "", "alpha: weight of the distillation loss; 1 - alpha of the language loss") \
  K(LOSS_ALPHA_SHAPE, "loss.alpha_schedule", CHOICE, "constant", 1, 0, "constant linear_up linear_down wsd", "", "alpha over the run; constant is loss.alpha throughout, of the others it is the maximum") \
  K(LOSS_ALPHA_WARMUP, "loss.alpha_warmup", LENGTH, "10 %", 1, 0, "", "", "linear warm-up of alpha; wsd only") \
  K(LOSS_ALPHA_DECAY, "loss.alpha_decay", LENGTH, "1 %", 1, 0, "", "", "cosine decay of alpha to 0 at the end; wsd only") \
  K(LOSS_KIND, "loss.kind", CHOICE, "kld", 1, 0, "kld nll", "", "forward KL, or soft cross-entropy: what is reported as kd; the gradient is the same") \
  K(LOSS_TAU, "loss.tau", REAL, "1", 1e-3, 1000, "", "", "temperature of the teacher, applied after truncation") \
  K(LOSS_CHUNK_MIB, "loss.chunk_mib", REAL, "64", 0.01, 65536, "", "MiB", "memory for logit tiles; the whole batch's logits never exist") \
  K(TRAIN_LENGTH, "train.length", LENGTH, "100 steps", 1, 0, "steps tokens", "", "length of the run") \
  K(TRAIN_BATCH, "train.batch_rows", INT, "8", 1, 100000000, "", "rows", "rows of one step over all ranks") \
  K(TRAIN_MICRO, "train.micro_rows", INT, "0", 0, 100000000, "", "rows", "rows of one rank's micro-step; 0: all its rows at once") \
  K(TRAIN_LR, "train.lr", REAL, "6e-4", 0, 100, "", "", "largest learning rate") \
  K(TRAIN_LR_FLOOR, "train.lr_floor", REAL, "0.1", 0, 1, "", "", "final rate of cosine and wsd as a share of train.lr") \
  K(TRAIN_LR_SHAPE, "train.lr_schedule", CHOICE, "cosine", 1, 0, "constant cosine wsd", "", "learning rate over the run, after its warm-up") \
  K(TRAIN_LR_WARMUP, "train.lr_warmup", LENGTH, "1 %", 1, 0, "", "", "linear warm-up, of every train.lr_schedule; 0 none") \
  K(TRAIN_LR_DECAY, "train.lr_decay", LENGTH, "10 %", 1, 0, "", "", "cosine decay to the floor at the end; wsd only") \
  K(TRAIN_BETA1, "train.beta1", REAL, "0.9", 0, 0.999999, "", "", "AdamW") \
  K(TRAIN_BETA2, "train.beta2", REAL, "0.95", 0, 0.9999999, "", "", "AdamW") \
  K(TRAIN_EPS, "train.eps", REAL, "1e-8", 1e-30, 1, "", "", "AdamW's epsilon: never 0, for 0 / 0 is no step") \
  K(TRAIN_DECAY, "train.weight_decay", REAL, "0.1", 0, 10, "", "", "decoupled weight decay") \
  K(TRAIN_DECAY_ALL, "train.decay_norms", BOOL, "false", 1, 0, "", "", "decay norms and biases too") \
  K(TRAIN_CLIP, "train.clip", REAL, "1", 0, 1e9, "", "", "largest global gradient norm; 0 no clipping") \
  K(TRAIN_ON_BAD, "train.on_bad_step", CHOICE, "stop", 1, 0, "stop skip", "", "NaN, Inf or a spike, seen before the update on all ranks: stop, or skip the step") \
  K(TRAIN_MAX_SKIPS, "train.max_skips", INT, "10", 0, 1000000, "", "steps", "skipped steps before the run stops") \
  K(TRAIN_SPIKE, "train.spike_factor", REAL, "0", 0, 1e9, "", "", "a gradient norm above this times its running mean is a spike; 0 off") \
  K(EVAL_EVERY, "eval.every", LENGTH, "0", 1, 0, "", "", "between evaluations; 0 only at the end") \
  K(EVAL_ROWS, "eval.rows", INT, "64", 0, 1000000000, "", "rows", "held-out rows of an evaluation; 0 none in training, all in `retort eval`") \
  K(EVAL_TEACHER, "eval.teacher", BOOL, "false", 1, 0, "", "", "also KL to the teacher and top-1 agreement (loads teacher.weights)") \
  K(EVAL_PART, "eval.part", CHOICE, "valid", 1, 0, "valid train", "", "`retort eval`: which part of the corpus")                                                                                                                                                                                  \
  K(EVAL_LOGITS, "eval.logits_out", TEXT, "", 1, 0, "", "path", "`retort eval`: write raw f32 logits [rows, T, V] of the student to this new file") \
  K(CAP_DIR, "capture.dir", TEXT, "", 1, 0, "", "path", "folder of the dataset that `retort capture` writes") \
  K(CAP_FIRST, "capture.first_row", INT, "0", 0, 1000000000000, "", "rows", "row of the training stream where a capture begins") \
  K(CAP_ROWS, "capture.rows", INT, "0", 0, 1000000000000, "", "rows", "rows to capture; 0: all from first_row on") \
  K(CAP_SHARD, "capture.shard_rows", INT, "0", 0, 1000000, "", "rows", "rows of one shard file, which a writer has in memory, and loses when it is killed; 0: 128, or in a large dataset a 64th of all, but not more than may have 256 MiB") \
  K(CAP_MICRO, "capture.micro_rows", INT, "4", 1, 100000, "", "rows", "rows between two signs of life; changes no bits (rows are computed one by one)") \
  K(CAP_TOP_P, "capture.top_p", REAL, "0.95", 1e-6, 1, "", "", "mass kept of each token's full softmax") \
  K(CAP_TOP_K, "capture.top_k", INT, "100", 1, 4294967295, "", "entries", "then at most this many; at least V keeps all") \
  K(CAP_DRAWS, "capture.draws", INT, "50", 1, 2048, "", "draws", "encoding sampled: ids drawn for each token from the full softmax (random-sampling KD)") \
  K(CAP_SEED, "capture.draw_seed", INT, "1", 0, 9007199254740992, "", "", "of these draws") \
  K(CAP_ENCODING, "capture.encoding", CHOICE, "packed", 1, 0, "exact packed sampled", "", "exact: 8 bytes an entry; packed: about 1.6, exact ids, log-probs in steps of 1/64 to 1/4 nat that cost less than 1e-4 nats of KL; sampled: capture.draws instead of top_p and top_k (doc/formats.md)") \
  K(CAP_STATISTICS, "capture.statistics", BOOL, "false", 1, 0, "", "", "also keep the entropy of each token's full softmax and the standard deviation of its logits (for adaptive temperatures)") \
  K(CAP_WINDOW_START, "capture.window_start", LENGTH, "0", 1, 0, "", "", "where in the run `train` begins to save the logits of the model in training (in capture.dir)") \
  K(CAP_WINDOW_LENGTH, "capture.window_length", LENGTH, "0", 1, 0, "", "", "for how long; 0: it saves none") \
  K(CAP_COUNT, "capture.count_only", BOOL, "false", 1, 0, "", "", "no dataset: count what it would hold, by p and k, into capture.dir/counts.json (k up to capture.top_k where that is given, else 5 % of the vocabulary)") \
  K(CAP_LICENSE, "capture.license", TEXT, "unspecified", 1, 0, "", "", "licence and terms of use, written into the dataset")

// clang-format on

#endif
