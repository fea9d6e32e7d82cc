#include "pool.h"

#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace bytelm {
namespace {

int wantedThreads() {
  if (const char* given = std::getenv("BYTELM_TF_OPS_THREADS")) {
    const int n = std::atoi(given);
    if (n >= 1) return n < 64 ? n : 64;
  }
  const unsigned n = std::thread::hardware_concurrency();
  return n < 1 ? 1 : n > 8 ? 8 : static_cast<int>(n);
}

struct Job {
  int64_t tasks;
  void (*task)(void*, int64_t);
  void* context;
  std::atomic<int64_t> next{0};
  /** Helpers at work on it; changed under the pool's mutex. */
  int helpers = 0;
};

/** Threads that wait for a job. Never destroyed: they end with the process. */
class Pool {
 public:
  explicit Pool(int helpers) {
    for (int i = 0; i < helpers; i++) std::thread([this] { help(); }).detach();
  }

  void run(Job& job) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      job_ = &job;
    }
    wake_.notify_all();
    work(job);
    // A helper that comes too late finds no job; one that came in time is waited for.
    std::unique_lock<std::mutex> lock(mutex_);
    job_ = nullptr;
    done_.wait(lock, [&] { return job.helpers == 0; });
  }

  std::mutex busy;

 private:
  static void work(Job& job) {
    for (int64_t i; (i = job.next.fetch_add(1, std::memory_order_relaxed)) < job.tasks;) job.task(job.context, i);
  }

  void help() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return job_ && job_->next.load(std::memory_order_relaxed) < job_->tasks; });
      Job& job = *job_;
      job.helpers++;
      lock.unlock();
      work(job);
      lock.lock();
      if (--job.helpers == 0) done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Job* job_ = nullptr;
};

thread_local bool inside = false;

}  // namespace

int threadCount() {
  static const int n = wantedThreads();
  return n;
}

void detail::run(int64_t tasks, void (*task)(void*, int64_t), void* context) {
  static Pool* pool = threadCount() > 1 ? new Pool(threadCount() - 1) : nullptr;
  // One job at a time: nested calls, and other JavaScript threads meanwhile, do their work alone.
  if (pool && tasks > 1 && !inside && pool->busy.try_lock()) {
    inside = true;
    Job job{tasks, task, context};
    pool->run(job);
    inside = false;
    pool->busy.unlock();
    return;
  }
  for (int64_t i = 0; i < tasks; i++) task(context, i);
}

float* scratch(int64_t floats, int slot) {
  struct Block {
    float* data = nullptr;
    int64_t size = 0;
    ~Block() { std::free(data); }
  };
  thread_local Block blocks[4];
  Block& block = blocks[slot];
  if (floats > block.size) {
    std::free(block.data);
    block.size = (floats + 1023) & ~int64_t{1023};
    block.data = static_cast<float*>(std::aligned_alloc(64, static_cast<size_t>(block.size) * 4));
  }
  return block.data;
}

}  // namespace bytelm
