import Files
import Recipes
import Testing

/// A change to the shortest recipe, and the whole sentence that it must lead to.
struct BadRecipe: CustomTestStringConvertible, Sendable {
    /// Lines added below the shortest recipe, from line 5 on.
    var lines = ""
    var overrides: [String] = []
    var expected: String

    var testDescription: String { expected }
}

@Suite struct RecipeErrorTests {
    static let table: [BadRecipe] = [
        // Keys.
        BadRecipe(
            lines: "adapter:\n  type: lora\n  lora_alhpa: 3",
            expected: "r.yaml: line 7: unknown key `adapter.lora_alhpa`. did you mean `lora_alpha`?"),
        BadRecipe(
            lines: "trainning: {}", expected: "r.yaml: line 5: unknown section `trainning`. did you mean `training`?"),
        BadRecipe(
            lines: "training: { learning_rate: 1.0 }",
            expected: "r.yaml: line 5: unknown key `training.learning_rate`. it is written `optimizer.learning_rate`"),
        BadRecipe(
            lines: "training: { num_train_epochs: 1 }",
            expected: "r.yaml: line 5: unknown key `training.num_train_epochs`. here it is `training.epochs`"),
        BadRecipe(
            lines: "optimizer: { lr_scheduler_type: cosine }",
            expected: "r.yaml: line 5: unknown key `optimizer.lr_scheduler_type`. here it is `optimizer.schedule`"),
        BadRecipe(
            lines: "optimizer: { warmup_ratio: 0.1 }",
            expected:
                "r.yaml: line 5: unknown key `optimizer.warmup_ratio`. here it is `optimizer.warmup_steps`, where a value below 1 is a share"
        ),
        BadRecipe(
            lines: "per_device_train_batch_size: 4",
            expected:
                "r.yaml: line 5: unknown section `per_device_train_batch_size`. here it is `dataset.rows_per_batch`"),
        BadRecipe(
            overrides: ["dataset.max_seq_length=4"],
            expected:
                "--set dataset.max_seq_length=4: unknown key `dataset.max_seq_length`. here it is `dataset.max_length`"),
        BadRecipe(
            overrides: ["adapter={type: lora, lora_r: 4}"],
            expected: "--set adapter={type: lora, lora_r: 4}: unknown key `adapter.lora_r`. here it is `adapter.r`"),
        BadRecipe(lines: "training: { seed: 1, seed: 2 }", expected: "r.yaml: line 5: the key `seed` is written twice"),
        BadRecipe(lines: "model: {}", expected: "r.yaml: line 1: the key `model` is written twice"),
        BadRecipe(
            overrides: ["dataset.columns={qestion: q}"],
            expected:
                "--set dataset.columns={qestion: q}: unknown key `dataset.columns.qestion`. there are `chosen`, `completion`, `conversations`, `history`, `input`, `instruction`, `label`, `margin`, `messages`, `output`, `prompt`, `reference`, `rejected`, `system`, `text`, `tools`"
        ),

        BadRecipe(
            overrides: ["objective={type: dpo, kl_coef: 1}"],
            expected:
                "--set objective={type: dpo, kl_coef: 1}: unknown key `objective.kl_coef`. it is a key of `objective.type: ppo`"
        ),
        BadRecipe(
            overrides: ["adapter={type: ia3, r: 4}"],
            expected: "--set adapter={type: ia3, r: 4}: unknown key `adapter.r`. it is a key of `adapter.type: lora`"),
        BadRecipe(
            overrides: ["dataset.type=alpaca"],
            expected: "--set dataset.type=alpaca: unknown key `dataset.type`. here it is `dataset.format`"),

        // Types.
        BadRecipe(
            lines: "training:\n  epochs: three",
            expected: "r.yaml: line 6: `training.epochs` must be a whole number, not the text `three`"),
        BadRecipe(
            lines: "training: { epochs: 1.5 }",
            expected: "r.yaml: line 5: `training.epochs` must be a whole number, not 1.5"),
        BadRecipe(lines: "training: 3", expected: "r.yaml: line 5: `training` must be a mapping, not 3"),
        BadRecipe(lines: "adapter: lora", expected: "r.yaml: line 5: `adapter` must be a mapping, not the text `lora`"),
        BadRecipe(
            overrides: ["dataset.shuffle=yes"],
            expected: "--set dataset.shuffle=yes: `dataset.shuffle` must be true or false, not the text `yes`"),
        BadRecipe(
            overrides: ["output.path=7"],
            expected: "--set output.path=7: `output.path` must be a text, not 7. if it is a name, put it in quotes"),
        BadRecipe(
            overrides: ["optimizer.learning_rate=1e999"],
            expected: "--set optimizer.learning_rate=1e999: `optimizer.learning_rate` must be a number, not inf"),
        BadRecipe(
            overrides: ["training.seed=99999999999999999999"],
            expected: "--set training.seed=99999999999999999999: `training.seed` must be a whole number, not 1e+20"),
        BadRecipe(
            overrides: ["dataset.train=[a, [b]]"],
            expected: "--set dataset.train=[a, [b]]: `dataset.train[1]` must be a path, or { path, weight }, not a list"
        ),
        BadRecipe(
            overrides: ["dataset.train=[]"], expected: "--set dataset.train=[]: `dataset.train` is an empty list"),
        BadRecipe(
            overrides: ["training.epochs=null"],
            expected: "--set training.epochs=null: `training.epochs` must be a whole number, not null"),

        // Ranges and words.
        BadRecipe(
            overrides: ["optimizer.learning_rate=-1"],
            expected: "--set optimizer.learning_rate=-1: `optimizer.learning_rate` must be a number above 0.0, not -1"),
        BadRecipe(
            overrides: ["optimizer.schedule=cosin"],
            expected:
                "--set optimizer.schedule=cosin: `optimizer.schedule` must be `constant`, `linear`, `cosine`, `inverse_sqrt` or `warmup_stable_decay`, not `cosin`. did you mean `cosine`?"
        ),
        BadRecipe(
            overrides: ["model.precision=fp16"],
            expected:
                "--set model.precision=fp16: `model.precision` must be `f32` or `bf16`, not `fp16`. did you mean `bf16`?"
        ),
        BadRecipe(
            overrides: ["model.weights=int4"],
            expected:
                "--set model.weights=int4: `model.weights` must be `f32`, `bf16`, `int8` or `nf4`, not `int4`. did you mean `int8`?"
        ),
        BadRecipe(
            overrides: ["model.double_quant=2"],
            expected: "--set model.double_quant=2: `model.double_quant` must be true or false, not 2"),
        BadRecipe(
            overrides: ["objective.type=pro"],
            expected:
                "--set objective.type=pro: there is no `objective.type: pro`. this version has `sft`, `dpo`, `kto`, `cpo`, `orpo`, `ppo`, `grpo`, `rloo`, `online_dpo`, `reward`"
        ),
        BadRecipe(
            overrides: ["adapter.r=4"],
            expected:
                "--set adapter.r=4: `adapter.type` is missing. this version has `lora`, `ia3`, `prompt`, `prefix`, `bottleneck`"
        ),
        BadRecipe(
            overrides: ["dataset.eval=1"],
            expected: "--set dataset.eval=1: `dataset.eval` must be a path, or a share above 0 and below 1, not 1"),
        BadRecipe(
            overrides: ["output=null"],
            expected: "r.yaml: `output.path` is missing. The run's folder."),

        // What keys demand of each other.
        BadRecipe(
            overrides: ["dataset.rows_per_batch=1", "dataset.tokens_per_batch=99"],
            expected:
                "--set dataset.rows_per_batch=1: `dataset.rows_per_batch` and `dataset.tokens_per_batch` are both given. keep one; null takes the other back"
        ),
        BadRecipe(
            overrides: ["dataset.packing=true"],
            expected: "--set dataset.packing=true: `dataset.packing: true` needs `dataset.tokens_per_batch`"),
        BadRecipe(
            overrides: ["dataset.packing=true", "dataset.tokens_per_batch=512"],
            expected:
                "--set dataset.tokens_per_batch=512: `dataset.tokens_per_batch` (512) must be at least `dataset.max_length` (1024) with packing"
        ),
        BadRecipe(
            overrides: ["optimizer.decay_steps=3"],
            expected:
                "--set optimizer.decay_steps=3: `optimizer.decay_steps` needs `optimizer.schedule: warmup_stable_decay`"
        ),
        BadRecipe(
            overrides: ["optimizer.momentum=0.9"],
            expected: "--set optimizer.momentum=0.9: `optimizer.momentum` needs `optimizer.type: sgd`"),
        BadRecipe(
            overrides: ["training.keep_best=true", "training.eval_steps=5"],
            expected: "--set training.eval_steps=5: `training.eval_steps` needs `dataset.eval`"),
        BadRecipe(
            overrides: ["dataset.streaming=true"],
            expected:
                "--set dataset.streaming=true: `dataset.streaming: true` needs `training.max_steps`. a stream's length is not known beforehand"
        ),
        BadRecipe(
            overrides: ["adapter={type: lora, rank_pattern: {q_proj: 0}}"],
            expected:
                "--set adapter={type: lora, rank_pattern: {q_proj: 0}}: `adapter.rank_pattern.q_proj` must be from 1 to 65536, not 0"
        ),
        BadRecipe(
            overrides: ["optimizer.head_learning_rate=1.0e-3"],
            expected:
                "--set optimizer.head_learning_rate=1.0e-3: `optimizer.head_learning_rate` needs a method with a new head. `objective.type: reward` and `ppo` have one"
        ),
        BadRecipe(
            overrides: ["optimizer.loraplus_lr_ratio=16"],
            expected:
                "--set optimizer.loraplus_lr_ratio=16: `optimizer.loraplus_lr_ratio` needs `adapter.type: lora`"),
        BadRecipe(
            overrides: ["optimizer.loraplus_lr_ratio=0"],
            expected:
                "--set optimizer.loraplus_lr_ratio=0: `optimizer.loraplus_lr_ratio` must be a number above 0.0, not 0"),
        BadRecipe(
            overrides: ["optimizer.loraplus_lr_embedding=1"],
            expected:
                "--set optimizer.loraplus_lr_embedding=1: `optimizer.loraplus_lr_embedding` needs `optimizer.loraplus_lr_ratio`"
        ),
        BadRecipe(
            overrides: ["adapter.type=lora", "training.trainable=[.*norm.*]"],
            expected:
                "--set training.trainable=[.*norm.*]: `training.trainable` is for a run without an adapter, which freezes the model itself"
        ),
        BadRecipe(
            overrides: ["training.trainable=[]"],
            expected: "--set training.trainable=[]: `training.trainable` is an empty list"),
        BadRecipe(
            overrides: ["adapter={type: lora, init_lora_weights: pizza}"],
            expected:
                "--set adapter={type: lora, init_lora_weights: pizza}: `adapter.init_lora_weights` must be true, false, `gaussian`, `pissa`, `pissa_niter_N` or `olora`, not the text `pizza`"
        ),
        BadRecipe(
            overrides: ["adapter={type: lora, bias: some}"],
            expected:
                "--set adapter={type: lora, bias: some}: `adapter.bias` must be `none`, `all` or `lora_only`, not `some`. did you mean `none`?"
        ),
        BadRecipe(
            overrides: ["adapter={type: lora, trainable_token_indices: {lm_head: x}}"],
            expected:
                "--set adapter={type: lora, trainable_token_indices: {lm_head: x}}: `adapter.trainable_token_indices.lm_head` must be a whole number, not the text `x`"
        ),

        // Policy optimisation.
        BadRecipe(
            overrides: ["objective={type: ppo, rewards: {type: json}, rollout_batch_size: 9223372036854775807}"],
            expected:
                "--set objective={type: ppo, rewards: {type: json}, rollout_batch_size: 9223372036854775807}: `objective.rollout_batch_size` must be a whole number from 1 to 65536, not 9223372036854775807"
        ),
        BadRecipe(
            overrides: ["objective={type: ppo, rewards: {type: command, command: no judge.py}}"],
            expected:
                "--set objective={type: ppo, rewards: {type: command, command: no judge.py}}: there is no program \"no judge.py\". `command` is a list of words: `command: [python3, judge.py]`"
        ),
        BadRecipe(
            overrides: ["objective={type: grpo, rewards: {type: json}, beta: 1, kl_target: 1, kl_horizon: 255}"],
            expected:
                "--set objective={type: grpo, rewards: {type: json}, beta: 1, kl_target: 1, kl_horizon: 255}: `objective.kl_horizon` is less than half of the 512 answers of a rollout: the coefficient would leap"
        ),
        BadRecipe(
            overrides: ["objective={type: grpo, rewards: {type: json}}", "dataset.train={path: a, weight: 2}"],
            expected:
                "--set dataset.train={path: a, weight: 2}: weights have no meaning here: every prompt is drawn once in each pass over them"
        ),
        BadRecipe(
            overrides: ["objective={type: kto}", "dataset.tokens_per_batch=64", "dataset.rows_per_batch=null"],
            expected:
                "--set dataset.tokens_per_batch=64: `objective.loss_type: kto` pairs prompts with other rows' answers: a batch of one long row would have none. `dataset.rows_per_batch` of 2 or more; `training.tokens_per_pass` bounds memory"
        ),

        // YAML itself.
        BadRecipe(
            lines: "training: [",
            expected: "r.yaml: line 6: not valid YAML: while parsing a flow node, did not find expected node content"),
        BadRecipe(
            lines: "training:\n\tepochs: 1",
            expected:
                "r.yaml: line 6: not valid YAML: while scanning for the next token, found character that cannot start any token. YAML is indented with spaces, not tabs"
        ),
        BadRecipe(
            lines: "training: !!python/object {}",
            expected: "r.yaml: line 5: YAML tags such as `tag:yaml.org,2002:python/object` are not used in recipes"),
        BadRecipe(
            overrides: ["training.seed=[1"],
            expected:
                "--set training.seed=[1: not valid YAML: while parsing a flow sequence, did not find expected ',' or ']'"
        ),
        BadRecipe(overrides: ["training.seed"], expected: "--set training.seed: an override is written key.path=value"),
        BadRecipe(overrides: [".seed=1"], expected: "--set .seed=1: an override is written key.path=value"),
    ]

    @Test(arguments: table)
    func faultsAreNamed(bad: BadRecipe) {
        let text = shortest + "\n" + bad.lines
        let error = #expect(throws: InputError.self) {
            try RecipeReader.read(text: text, file: "r.yaml", overrides: bad.overrides)
        }
        #expect(error?.description == bad.expected)
    }

    @Test(arguments: [
        "", "# nothing\n", "null", "[]", "- a\n- b", "text", "3", "\u{0}", "a: *none", "a: &a [*a]",
        "---\na: 1\n---\nb: 2",
        String(repeating: "[", count: 100_000), String(repeating: "{a: ", count: 5_000), "? [a]\n: b",
        "%YAML 9.9\n---\n{}",
        String(repeating: "- ", count: 50_000), "a: \"\\uD800\"", "a: \"\\U00110000\"", "'", "<<: {model: {path: x}}",
    ])
    func nothingTraps(text: String) {
        #expect(throws: InputError.self) { try RecipeReader.read(text: text, file: "r.yaml") }
    }

    @Test(arguments: ["", "_", "-"])
    func aliasesCannotGrowWithoutEnd(start: String) {
        let lines = (1...30).map { number in
            let below = "*\(start)l\(number - 1)"
            return "l\(number): &\(start)l\(number) [\(below), \(below), \(below)]"
        }
        let text = "l0: &\(start)l0 [a, b]\n" + lines.joined(separator: "\n") + "\n? *\(start)l30\n: x\n"
        #expect(throws: InputError.self) { try RecipeReader.read(text: text, file: "r.yaml") }
    }
}
