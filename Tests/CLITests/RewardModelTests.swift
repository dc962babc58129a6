import Files
import Foundation
import TestSupport
import Testing

/// Reward models through the program, from pairs to a folder that others load.
@Suite struct RewardModelTests {
    static let recipe = """
        model: { path: model }
        adapter: { type: lora, r: 4, lora_alpha: 8, target_modules: all-linear }
        dataset: { train: pairs.jsonl, eval: 0.25, max_length: 96, rows_per_batch: 2 }
        objective: { type: reward, center_rewards_coefficient: 0.01 }
        optimizer: { type: adamw, learning_rate: 1.0e-2, schedule: constant }
        training: { max_steps: 6, seed: 7, threads: 1 }
        output: { path: run, save_steps: 2, keep_checkpoints: 3 }
        """

    private func prepared() throws -> TinyRun {
        let run = try TinyRun()
        try run.folder.write(Self.recipe, to: "recipe.yaml")
        try run.folder.write(PreferenceTests.pairs(16), to: "pairs.jsonl")
        return run
    }

    private func json(_ run: TinyRun, _ name: String) throws -> JSON { try JSON(parsing: run.folder.read(name)) }

    private func evaluated(_ run: TinyRun, _ model: [String]) async throws -> JSON {
        let judged = try await run.graft(["evaluate", "--data", "pairs.jsonl", "--json", "--model"] + model)
        #expect(judged.status == 0, "\(judged.errors)")
        return try JSON(parsing: judged.output)
    }

    @Test func pairsBecomeARewardModelAndAFolderOfItsOwn() async throws {
        let run = try prepared()
        let trained = try await run.train()
        #expect(trained.status == 0, "\(trained.errors)")
        let lines = try run.folder.read("run/metrics.jsonl").split(separator: "\n")
        let last = try #require(try lines.last.map { try JSON(parsing: String($0)) })
        for name in ["accuracy", "margin", "min_reward", "mean_reward", "max_reward"] {
            #expect(last[name]?.number != nil, "\(name)")
        }
        #expect((last["loss"]?.number ?? 1) < 0.3)
        let settings = try json(run, "run/adapter_config.json")
        #expect(settings["task_type"]?.string == "SEQ_CLS" && settings["modules_to_save"] == ["score"])
        let after = try #require(try json(run, "run/evaluation.json")["after"])
        #expect(after["accuracy"]?.number == 1 && after["nll"] == nil && after["rows"]?.integer == 4)
        let card = try json(run, "run/reward_card.json")
        #expect(card["pairs"]?.integer == 4 && card["accuracy"]?.number == 1 && card["swapped_agreement"]?.number == 1)
        #expect(card["margin"] == after["margin"])
        #expect(trained.errors.contains("100.0 % of 4 pairs ranked correctly (95 % interval 51.0 to 100.0)"))

        let adapted = try await evaluated(run, ["model", "--adapter", "run"])
        #expect(adapted["by"]?.string == "score_head" && adapted["pairs"]?.integer == 16)
        #expect(adapted["accuracy"]?.number == 1 && adapted["reward_card"]?["reliability"]?.array?.isEmpty == false)
        let merged = try await run.graft(
            ["merge", "--model", "model", "--adapter", "run", "--output", "merged", "--dtype", "f32"])
        #expect(merged.status == 0 && merged.output.contains("model's rewards are within"), "\(merged.errors)")
        let configuration = try json(run, "merged/config.json")
        #expect(configuration["architectures"] == ["LlamaForSequenceClassification"])
        #expect(configuration["num_labels"] == 1 && configuration["pad_token_id"] == 0)
        #expect(!run.exists("merged/generation_config.json"))
        let plain = try await evaluated(run, ["merged"])
        #expect(plain["by"]?.string == "score_head" && plain["accuracy"]?.number == 1)
        let (one, other) = (adapted["margin"]?.number ?? 0, plain["margin"]?.number ?? 1)
        #expect(isClose(one, other, relative: 1e-4))
        // Training goes on from the folder, with the head that it holds.
        let further = try await run.train(["model.path=merged", "output.path=further", "training.max_steps=1"])
        #expect(further.status == 0, "\(further.errors)")
        #expect(try json(run, "further/evaluation.json")["before"]?["accuracy"]?.number == 1)
        for type in ["bf16", "nf4"] {
            let merged = try await run.graft(
                ["merge", "--model", "model", "--adapter", "run", "--output", type, "--dtype", type])
            #expect(merged.status == 0, "\(merged.errors)")
            #expect(try await evaluated(run, [type])["accuracy"]?.number == 1)
        }
        #expect(try json(run, "nf4/config.json")["quantization_config"]?["llm_int8_skip_modules"] == ["score"])
    }

    @Test(arguments: [[], ["adapter=null", "optimizer.learning_rate=1.0e-3"], ["model.precision=bf16"]])
    func aResumedRunIsTheSame(settings: [String]) async throws {
        let run = try prepared()
        let whole = try await run.train(settings + ["output.path=whole"])
        #expect(whole.status == 0, "\(whole.errors)")
        #expect(try await run.train(settings + ["training.max_steps=4"]).status == 0)
        let resumed = try await run.train(settings, flags: ["--resume"])
        #expect(resumed.status == 0, "\(resumed.errors)")
        #expect(try run.metrics(of: "run") == run.metrics(of: "whole"))
        let weights = settings.contains("adapter=null") ? "model.safetensors" : "adapter_model.safetensors"
        #expect(try run.bytes("run/\(weights)") == run.bytes("whole/\(weights)"))
        #expect(try run.bytes("run/reward_card.json") == run.bytes("whole/reward_card.json"))
        guard settings.contains("adapter=null") else { return }
        #expect(try await evaluated(run, ["run"])["by"]?.string == "score_head")
    }

    @Test func theHeadAloneIsTrained() async throws {
        let run = try prepared()
        let trained = try await run.train(["adapter=null", #"training.trainable=score\.weight"#])
        #expect(trained.status == 0 && trained.errors.contains("training 64 of"), "\(trained.errors)")
    }

    @Test func aRewardModelIsNoLanguageModel() async throws {
        let run = try prepared()
        #expect(try await run.train(["training.max_steps=1", "dataset.eval=null"]).status == 0)
        #expect(!run.exists("run/reward_card.json"))
        let model = ["--model", Locations.fixture("rewards/classifier")]
        let adapter = ["--model", "model", "--adapter", "run"]
        for (which, says) in [(model, "a sequence classifier"), (adapter, "task_type SEQ_CLS")] {
            for command in [
                ["generate", "--prompt", "Hello"], ["evaluate", "--data", "rows.jsonl"],
                ["export", "--to", "gguf", "--output", "x.gguf"],
            ] {
                let refused = try await run.graft(command + which)
                #expect(refused.status == 2 && refused.lastError.contains(says), "\(refused.errors)")
            }
        }
        let compared = try await run.graft(["compare", "--data", "rows.jsonl"] + adapter)
        #expect(compared.status == 2 && compared.lastError.contains("SEQ_CLS"), "\(compared.errors)")
        let merged = try await run.graft(["merge", "--data", "rows.jsonl", "--output", "merged"] + adapter)
        #expect(merged.status == 2 && merged.lastError.contains("no likelihoods"), "\(merged.errors)")
    }

    @Test func foldersThatHoldNoSuchHead() async throws {
        let run = try prepared()
        #expect(try await run.train(["training.max_steps=1"]).status == 0)
        func change(_ name: String, _ old: String, _ new: String) throws {
            try run.change(name) { Array(String(decoding: $0, as: UTF8.self).replacing(old, with: new).utf8) }
        }
        let classifier = try TemporaryFolder()
        try FileManager.default.copyItem(
            atPath: Locations.fixture("rewards/classifier"), toPath: classifier.file("two"))
        let labels = classifier.file("two/config.json")
        let text = try classifier.read("two/config.json")
        try classifier.write(
            text.replacing(#""0": "LABEL_0""#, with: #""0": "LABEL_0", "1": "LABEL_1""#), to: "two/config.json")
        let two = try await run.graft(["evaluate", "--model", classifier.file("two"), "--data", "pairs.jsonl"])
        #expect(two.status == 2 && two.lastError.contains("has 2 labels") && two.lastError.contains(labels))
        // An adapter that says it is a reward model's and holds no head.
        let sft = ["objective={type: dpo}", "output.path=dpo", "training.max_steps=1"]
        #expect(try await run.train(sft).status == 0)
        try change("dpo/adapter_config.json", "CAUSAL_LM", "SEQ_CLS")
        let headless = try await run.graft([
            "evaluate", "--model", "model", "--adapter", "dpo", "--data", "pairs.jsonl",
        ])
        #expect(headless.status == 2 && headless.lastError.contains("would be random numbers"), "\(headless.errors)")
    }

    @Test func rowsThatCannotBeComparedAreCounted() async throws {
        let cut = #"{"prompt": "Why?", "chosen": "\#(String(repeating: "why ", count: 80))", "rejected": "b"}"#
        try await PreferenceTests.expectBadRowsCounted(prepared(), others: [(cut, "longer than max_length")])
    }

    @Test(arguments: [
        (["dataset.train=rows.jsonl"], "the row has the format messages, but preference pairs"),
        (["objective={type: reward, center_rewards_coefficient: -1}"], "at least 0"),
        (["objective={type: reward, center: 1}"], "unknown key `objective.center`"),
        (["objective={type: reward, beta: 1}"], "unknown key `objective.beta`"),
        (["adapter={type: ia3}"], "`adapter.type: lora` alone"),
        (["dataset.overflow=split"], "no meaning for answers"),
        (["adapter.init_from=sft"], "is no reward model's adapter"),
    ])
    func faultsAreNamed(settings: [String], says: String) async throws {
        let run = try prepared()
        if settings[0].hasSuffix("=sft") {
            let sft = ["objective={type: sft}", "dataset.train=rows.jsonl", "output.path=sft", "training.max_steps=1"]
            #expect(try await run.train(sft).status == 0)
        }
        let trained = try await run.train(settings)
        #expect(trained.status == 2 && trained.errors.contains(says), "\(trained.errors)")
    }
}
