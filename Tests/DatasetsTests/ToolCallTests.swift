import Datasets
import Files
import TestSupport
import Testing

private let plain =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

private func withCalls(_ arguments: String) -> String {
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{{ m.content or '' }}{% for c in m.tool_calls or [] %}"
        + "{{ 'CALL ' + c.function.name + ' ' + " + arguments + " }}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
        + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
}

private func row(arguments: String) -> String {
    #"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": null, "tool_calls": "#
        + #"[{"type": "function", "function": {"name": "f", "arguments": "# + arguments + "}}]}]}"
}

private func inspect(_ row: String, _ template: String) throws -> Inspection {
    let folder = try TemporaryFolder()
    let tokenizer = try tinyTokenizer()
    let dataset = try dataset([folder.write(row, to: "a.jsonl")], tokenizer: tokenizer, template: template)
    return Inspection(dataset, tokenizer: tokenizer, plan: nil, rows: 1)
}

@Suite struct ToolCallTests {
    /// Arguments come as objects or as JSON text, and templates take one or the other.
    @Test(arguments: [#"{"q": 1}"#, #""{\"q\": 1}""#], ["c.function.arguments | tojson", "c.function.arguments + ''"])
    func argumentsSuitTheTemplate(arguments: String, written: String) throws {
        let inspection = try inspect(row(arguments: arguments), withCalls(written))
        #expect(inspection.rows[0].segments.filter(\.isTrained).map(\.text) == [#"CALL f {"q": 1}<|im_end|>"#])
        #expect(inspection.statistics.notes.isEmpty)
    }

    @Test func aTemplateWithoutCallsGetsThemAsContent() throws {
        let inspection = try inspect(row(arguments: #"{"q": 1}"#), plain)
        let expected = #"{"name": "f", "arguments": {"q": 1}}<|im_end|>"#
        #expect(inspection.rows[0].segments.filter(\.isTrained).map(\.text) == [expected])
        #expect(inspection.statistics.notes.count == 1)
    }

    /// Content in parts for a template that takes strings, and the other way round: neither may vanish.
    @Test(arguments: [#""Ho""#, #"[{"type": "text", "text": "Ho"}]"#])
    func contentSuitsTheTemplate(content: String) throws {
        let row =
            #"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "# + content + "}]}"
        let parts =
            "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% for p in m.content %}{{ p.text }}{% endfor %}"
            + "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
        let strings =
            "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{{ m.content if m.content is string }}"
            + "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
        for template in [parts, strings] {
            let segments = try inspect(row, template).rows[0].segments
            #expect(
                segments.map(\.text) == [
                    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "Ho<|im_end|>", "\n",
                ])
        }
    }

    @Test func aPartThatIsNoTextIsRefused() {
        let row =
            #"{"messages": [{"role": "user", "content": [{"type": "image", "url": "x"}]}, {"role": "assistant", "content": "a"}]}"#
        let error = #expect(throws: InputError.self) { try inspect(row, plain) }
        #expect(error?.message.contains("image") == true)
    }

    @Test(.enabled(if: Locations.shared("data/toolcall_en.json") != nil))
    func realToolCallsRender() throws {
        let path = try #require(Locations.shared("data/toolcall_en.json"))
        let tokenizer = try tinyTokenizer()
        for template in [plain, withCalls("c.function.arguments | tojson")] {
            let dataset = try dataset([path], tokenizer: tokenizer, template: template, maxLength: 1 << 20)
            #expect(dataset.statistics.rows == 300 && dataset.count == 300)
            #expect(dataset.statistics.turnEndingRows == 300)
        }
    }
}
