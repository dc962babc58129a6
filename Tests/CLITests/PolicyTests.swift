import Files
import Foundation
import TestSupport
import Testing

/// Policy optimisation as a user runs it.
@Suite struct PolicyTests {
    static let recipe = """
        model: { path: model }
        adapter: { type: lora, r: 4, lora_alpha: 8, target_modules: all-linear }
        dataset: { train: prompts.jsonl, eval: 0.25, max_length: 64 }
        objective: { type: ppo, rewards: { type: length, max: 12, unit: characters }, rollout_batch_size: 4, response_length: 8, num_ppo_epochs: 2, num_mini_batches: 2 }
        optimizer: { type: adamw, learning_rate: 1.0e-2, schedule: constant }
        training: { max_steps: 8, seed: 7, threads: 1 }
        output: { path: run, save_steps: 2, keep_checkpoints: 9 }
        """
    private static let methods = [
        "ppo, num_ppo_epochs: 2, response_length: 8, kl_target: 3, kl_horizon: 50, entropy_coef: 0.01",
        "ppo, num_ppo_epochs: 2, response_length: 8, value_adapter: true",
        "ppo, num_ppo_epochs: 2, response_length: 8, kl_in: loss, kl_estimator: k3, whiten_rewards: true, missing_eos_penalty: 0.5",
        "grpo, num_iterations: 2, max_completion_length: 8, num_generations: 3, beta: 0.1",
        "grpo, num_iterations: 2, max_completion_length: 8, importance_sampling_level: sequence, loss_type: dr_grpo, scale_rewards: none",
        "rloo, num_iterations: 2, max_completion_length: 8, stop_tokens: [e]",
        "online_dpo, max_new_tokens: 8, kl_target: 3, kl_horizon: 50",
    ]

    /// A folder with the tiny model, prompts about sums with their answers, and a recipe.
    private func prepared() throws -> TinyRun {
        let run = try TinyRun()
        try run.folder.write(Self.recipe, to: "recipe.yaml")
        let rows = (0..<16).map { number in
            #"{"prompt": [{"role": "user", "content": "How many is \#(number) and \#(3 * number)?"}], "reference": "\#(4 * number)"}"#
        }
        try run.folder.write(rows.joined(separator: "\n"), to: "prompts.jsonl")
        return run
    }

    private func lines(_ run: TinyRun, _ name: String) throws -> [JSON] {
        try run.folder.read(name).split(separator: "\n").map { try JSON(parsing: String($0)) }
    }

    @Test func aRunsFolder() async throws {
        let run = try prepared()
        let trained = try await run.train()
        #expect(trained.status == 0, "\(trained.errors)")
        #expect(run.exists("run/adapter_model.safetensors") && run.exists("run/value_head.safetensors"))
        let steps = try lines(run, "run/metrics.jsonl")
        #expect(steps.count == 8)
        // The policy is its own reference, and the author of the rollout, where nothing is trained yet.
        #expect(steps[0]["objective/kl"]?.number == 0 && steps[0]["val/ratio"]?.number == 1)
        #expect(steps[4]["val/ratio"]?.number == 1 && steps[3]["val/ratio"]?.number != 1)
        #expect(try #require(steps[4]["objective/kl_k3"]?.number) > 0)
        let names: Set = [
            "objective/scores", "objective/rlhf_reward", "objective/non_score_reward", "policy/entropy_avg",
            "policy/clipfrac_avg", "policy/approxkl_avg", "loss/value_avg", "rewards/length/mean",
            "completions/mean_length",
        ]
        #expect(names.isSubset(of: Set((steps[0].object ?? [:]).keys)))
        let evaluation = try JSON(parsing: run.folder.read("run/evaluation.json"))
        #expect(evaluation["before"]?["objective/kl"]?.number == 0 && evaluation["before"]?["rows"]?.integer == 4)
        #expect(evaluation["after"]?["objective/scores"]?.number != nil)
        #expect(trained.errors.contains("before training: mean score "))
        // Answers of each rollout and evaluation, four prompts each.
        let samples = try lines(run, "run/samples.jsonl")
        #expect(samples.compactMap { $0["step"]?.integer } == [0, 0, 0, 0, 1, 1, 1, 1, 5, 5, 5, 5, 8, 8, 8, 8])
        #expect(samples[0]["kind"]?.string == "evaluation" && samples[4]["kind"]?.string == "rollout")
        #expect(samples[0]["prompt"]?.string == samples[12]["prompt"]?.string)
        #expect(samples[0]["rewards"]?["length"]?.number != nil && samples[0]["kl"]?.number == 0)
    }

    /// Stopped between the steps of a rollout, and between rollouts.
    @Test(arguments: methods)
    func aResumedRunIsTheSame(objective: String) async throws {
        let run = try prepared()
        let settings = [
            "objective={type: \(objective), rewards: {type: repetition, words: 1}, rollout_batch_size: 4, num_mini_batches: 2}"
        ]
        let whole = try await run.train(settings + ["output.path=whole"])
        #expect(whole.status == 0, "\(whole.errors)")
        #expect(try await run.train(settings + ["training.max_steps=4"]).status == 0)
        for steps in [6, 8] {
            let resumed = try await run.train(settings + ["training.max_steps=\(steps)"], flags: ["--resume"])
            #expect(resumed.status == 0, "\(resumed.errors)")
        }
        #expect(try run.metrics(of: "run") == run.metrics(of: "whole"))
        #expect(try run.bytes("run/adapter_model.safetensors") == run.bytes("whole/adapter_model.safetensors"))
        let rollouts = { (name: String) in
            try run.folder.read("\(name)/samples.jsonl").split(separator: "\n").filter { $0.contains("rollout") }
        }
        #expect(try rollouts("run") == rollouts("whole"))
    }

    /// From where an earlier run stopped, with its value head; in full, with a second model as the reference.
    @Test func startsAndReferences() async throws {
        let run = try prepared()
        #expect(try await run.train(["output.path=start"]).status == 0)
        let head = try run.bytes("start/value_head.safetensors")
        let from = ["adapter.init_from=start", "training.max_steps=1", "optimizer.learning_rate=1.0e-9"]
        func firstKL(_ settings: [String]) async throws -> Double {
            let trained = try await run.train(settings, flags: run.exists("run") ? ["--overwrite"] : [])
            #expect(trained.status == 0, "\(trained.errors)")
            return try #require(lines(run, "run/metrics.jsonl")[0]["objective/kl"]?.number)
        }
        #expect(try await firstKL(from) == 0)
        let kept = try run.bytes("run/value_head.safetensors")
        #expect(kept.count == head.count && kept != [UInt8](repeating: 0, count: kept.count))
        #expect(try await firstKL(from + ["objective.reference=base"]) != 0)
        #expect(try await firstKL(from + ["objective.reference=model"]) != 0)
        #expect(try await firstKL(from + ["objective.reference=start"]) == 0)
        #expect(try await firstKL(["adapter=null", "training.max_steps=2", "optimizer.learning_rate=1.0e-3"]) == 0)
        #expect(run.exists("run/model.safetensors") && run.exists("run/value_head.safetensors"))
    }

    /// The critic's own adapter is saved, PEFT's settings and all; a run that starts from there has it, else it begins as the policy does.
    @Test func aValueAdapterIsKept() async throws {
        let run = try prepared()
        // The head of the language model reads no value.
        let settings = ["objective.value_adapter=true", "adapter.target_modules=[q_proj, lm_head]"]
        let trained = try await run.train(settings + ["output.path=start"])
        #expect(trained.status == 0 && !trained.errors.contains("alarm"), "\(trained.errors)")
        let saved = try run.bytes("start/value_adapter/adapter_model.safetensors")
        #expect(try run.bytes("start/adapter_model.safetensors") != saved)
        #expect(try run.bytes("start/adapter_config.json") == run.bytes("start/value_adapter/adapter_config.json"))
        func firstLoss(_ settings: [String]) async throws -> Double {
            let from = ["adapter.init_from=start", "training.max_steps=1", "optimizer.learning_rate=1.0e-9"]
            let trained = try await run.train(settings + from, flags: run.exists("run") ? ["--overwrite"] : [])
            #expect(trained.status == 0, "\(trained.errors)")
            return try #require(lines(run, "run/metrics.jsonl")[0]["loss/value_avg"]?.number)
        }
        let own = try await firstLoss(settings)
        let shared = try await run.train(
            ["adapter.init_from=start", "adapter.target_modules=[q_proj, lm_head]"], flags: ["--overwrite"])
        #expect(shared.status == 2 && shared.lastError.contains("stands on this adapter"), "\(shared.errors)")
        try FileManager.default.removeItem(atPath: run.folder.file("start/value_adapter"))
        let (asThePolicy, onThePolicy) = try await (firstLoss(settings), firstLoss(Array(settings.dropFirst())))
        #expect(own != asThePolicy && asThePolicy == onThePolicy)
        let full = try await run.train(["objective.value_adapter=true", "adapter=null", "output.path=full"])
        #expect(full.status == 2 && full.lastError.contains("needs an `adapter` section"), "\(full.errors)")
    }

    /// A reward model beside the policy on one base, and one with a base of its own: the same scores.
    @Test func aRewardModelJudges() async throws {
        let run = try prepared()
        try run.folder.write(PreferenceTests.pairs(16), to: "pairs.jsonl")
        let reward = try await run.train([
            "objective={type: reward}", "dataset={train: pairs.jsonl, max_length: 96}", "output.path=reward",
        ])
        #expect(reward.status == 0, "\(reward.errors)")
        let merged = try await run.graft(
            ["merge", "--model", "model", "--adapter", "reward", "--output", "judge", "--dtype", "f32"])
        #expect(merged.status == 0, "\(merged.errors)")
        var scores: [Double] = []
        for path in ["reward", "judge"] {
            let trained = try await run.train([
                "objective.rewards={type: model, path: \(path)}", "output.path=by-\(path)",
            ])
            #expect(trained.status == 0, "\(trained.errors)")
            let steps = try lines(run, "by-\(path)/metrics.jsonl")
            #expect(steps[0]["objective/kl"]?.number == 0 && steps[0]["val/ratio"]?.number == 1)
            scores.append(try #require(steps[0]["rewards/model/mean"]?.number))
            #expect(try !String(decoding: run.bytes("by-\(path)/adapter_config.json"), as: UTF8.self).contains("score"))
        }
        #expect(abs(scores[0] - scores[1]) < 1e-4 && scores[0] != 0)
        let resumed = try await run.train(
            ["objective.rewards={type: model, path: reward}", "output.path=by-judge"], flags: ["--resume"])
        #expect(resumed.status == 2 && resumed.lastError.contains("`objective.rewards` changed"), "\(resumed.errors)")
        let none = try await run.train(["objective.rewards={type: model, path: by-judge}"])
        #expect(none.status == 2 && none.lastError.contains("it has no score head"), "\(none.errors)")
        let other = try await run.train([
            "objective.rewards={type: model, path: \(Locations.fixture("models/tiny-qwen2"))}"
        ])
        #expect(other.status == 2 && !other.lastError.isEmpty, "\(other.errors)")
    }

    @Test func aCommandJudges() async throws {
        let run = try prepared()
        try run.folder.write(
            """
            #!/bin/sh
            while read -r line; do
                case "$line" in *'"reference": null'*) exit 3 ;; *'"answer"'*) echo 0.25 ;; esac
            done
            """, to: "judge.sh")
        let settings = ["objective.rewards=[{type: command, command: [sh, judge.sh], weight: 2}, {type: exact_match}]"]
        let trained = try await run.train(settings)
        #expect(trained.status == 0, "\(trained.errors)")
        let step = try lines(run, "run/metrics.jsonl")[0]
        #expect(step["rewards/command/mean"]?.number == 0.25 && step["objective/scores"]?.number == 0.5)
    }

    @Test(arguments: [
        ("exit 3", "exit code 3"), ("kill -9 $$", "signal 9"), ("sleep 60", "did not end within 0.5 seconds"),
        ("echo 1", "wrote 1 lines for 4 answers"),
        ("for i in 1 2 3 4; do echo nan; done", "no finite number on line 1"),
        ("for i in 1 2 3 4; do echo 1e999; done", "no finite number on line 1"),
    ])
    func aCommandThatFails(script: String, says: String) async throws {
        let run = try prepared()
        try run.folder.write(script, to: "judge.sh")
        let trained = try await run.train([
            "dataset.eval=null", "objective.rewards={type: command, command: [sh, judge.sh], timeout: 0.5}",
        ])
        #expect(trained.status == 1 && trained.lastError.contains(says), "\(trained.errors)")
    }

    @Test(arguments: [
        (["dataset.rows_per_batch=4"], "`dataset.rows_per_batch` has no meaning here"),
        (["training.gradient_accumulation_steps=2"], "a step is a minibatch of a rollout"),
        (["objective.top_p=0.9"], "`objective.allow_truncated_sampling: true` allows it"),
        (["objective.num_mini_batches=3"], "(3) does not divide `objective.rollout_batch_size` (4)"),
        (["objective.rewards={type: lenght}"], "there is no `objective.rewards.type: lenght`"),
        (["objective.rewards={type: regex}"], "`objective.rewards.pattern` is missing"),
        (["objective.rewards={type: regex, pattern: '('}"], "is not a valid regular expression"),
        (["objective.rewards=[{type: json}, {type: json}]"], "give each a `name`"),
        (["objective.rewards={type: length, min: 5, max: 4}"], "is none"),
        (["objective.kl_target=5", "objective.kl_coef=0"], "steers a coefficient, which must begin above 0"),
        (["objective.stop_tokens=[How many]"], "tokens of this model, not one"),
        (["objective.response_length=120"], "is more than the 128 that the model reads"),
        (["dataset.train=bare.jsonl", "objective.rewards={type: exact_match}"], "needs a `reference` in every row"),
        (["dataset.train=long.jsonl"], "no prompt is left: all 2 rows are dropped"),
    ])
    func whatCannotBe(settings: [String], says: String) async throws {
        let run = try prepared()
        try run.folder.write(#"{"prompt": "a b c"}"# + "\n" + #"{"prompt": "d e f"}"#, to: "bare.jsonl")
        let long = #"{"prompt": "\#(String(repeating: "word ", count: 90))"}"#
        try run.folder.write(long + "\n" + long, to: "long.jsonl")
        let trained = try await run.train(settings)
        #expect(trained.status == 2 && trained.lastError.contains(says), "\(trained.errors)")
    }
}
