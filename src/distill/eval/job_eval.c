/** \file job_eval.c */
#include "distill/eval/job_eval.h"

#include "distill/data/job_data.h"
#include "distill/job/job_memory.h"
#include "distill/teacher/job_teacher.h"

static rt_err check_teacher(const rt_job *job)
{
  const int64_t teacher = rt_arch_true_vocab(&job->arch_t);
  const int64_t student = rt_arch_true_vocab(&job->arch_s);
  RT_CHECK((job->needs & RT_NEED_TEACHER) != 0, RT_ERR_INTERNAL,
           "eval.teacher without RT_NEED_TEACHER");
  RT_CHECK(teacher == student, RT_ERR_CONFIG,
           "eval.teacher: the teacher has %lld ids, the student %lld: they "
           "must share a tokenizer; if they differ only in padding, set "
           "data.vocab to its size",
           (long long)teacher, (long long)student);
  return RT_OK;
}

rt_err rt_job_evaluator(rt_job *job, rt_model *student, rt_evaluator **out)
{
  const rt_deck *const d = job->deck;
  const rt_teacher_model teacher = rt_job_teacher_model(job);
  rt_evaluator_spec spec = {
      .world = job->world,
      .grid = &job->grid_s,
      .dev = job->dev,
      .student = student,
      .rows = rt_job_rows(job),
      .micro_rows = job->micro_rows,
      .chunk_bytes = rt_job_chunk_bytes(job, &job->arch_s, &job->grid_s),
      .phases = &job->phases,
      .beat = job->hooks->beat};
  *out = NULL;
  RT_CHECK(job->corpus != NULL, RT_ERR_CONFIG,
           "evaluation needs held-out text: name the corpus in data.files");
  if (rt_deck_bool(d, RT_KEY_EVAL_TEACHER)) {
    RT_TRY(check_teacher(job));
    spec.teacher = &teacher;
  }
  RT_TRY(rt_evaluator_create(&spec, out));
  rt_job_beside(job, "evaluation on the host", rt_evaluator_beside(*out));
  return RT_OK;
}
